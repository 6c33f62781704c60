package actors_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestCloseAndOpenTable: a closed table answers UNAVAILABLE, its PID stays, and nothing is lost; closing and
// opening twice is no failure.
func TestCloseAndOpenTable(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		seen := h.events()
		h.put("tasks", "key", "value")
		pid, ctx := h.pid("tasks"), h.Context()
		for range 2 {
			if err := h.g.CloseTable(ctx, "tasks"); err != nil {
				t.Fatal(err)
			}
			h.wantState("tasks", closed)
		}
		if info := h.info("tasks"); info.GetPosition() != nil || info.GetHint() == "" || info.GetReason() == "" {
			t.Errorf("closed table = %v, want a reason, a hint and no position", info)
		}
		h.put("other", "key", "value")
		for range 2 {
			if err := h.g.OpenTable(ctx, "tasks"); err != nil {
				t.Fatal(err)
			}
			h.wantState("tasks", open)
		}
		if h.pid("tasks") != pid {
			t.Error("the PID changed")
		}
		h.wantValue("tasks", "key", "value")
		if n := h.health("tasks").GetRestarts(); n != 0 {
			t.Errorf("restarts = %d: closing on request is no fault", n)
		}
		var states []messages.TableState
		for _, e := range eventsOf[*messages.TableStateChanged](seen) {
			states = append(states, e.GetTo())
		}
		if fmt.Sprint(states) != fmt.Sprint([]messages.TableState{closed, opening, open}) {
			t.Errorf("states = %v", states)
		}
	})
}

// TestCloseTableDrains: what was accepted before is committed and answered.
func TestCloseTableDrains(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		release := h.fs.hang(h.T, walSync("tasks"))
		var writes []*sender
		for i := range 100 {
			writes = append(writes, h.send(h.pid("tasks"), put(fmt.Sprint(i), "value")))
		}
		h.settle()
		closing := async(func() (string, error) { return "", h.g.CloseTable(h.Context(), "tasks") })
		h.settle()
		closing.pending(h, "close table")
		late := h.send(h.pid("tasks"), put("late", "value"))
		h.settle()
		late.failure("put while closing", messages.Code_CODE_UNAVAILABLE)
		release()
		<-closing.done
		closing.want(h, "close table", "")
		for _, s := range writes {
			s.committed("put")
		}
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		if n := h.health("tasks").GetCount(); n != 100 {
			t.Errorf("%d rows, want 100", n)
		}
	})
}

// TestCloseTableOfHungDisk answers within its limit, and the supervisor answers others meanwhile.
func TestCloseTableOfHungDisk(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		release := h.fs.hang(h.T, walSync("tasks"))
		h.send(h.pid("tasks"), put("key", "value"))
		h.settle()
		closing := h.send(h.g.Supervisor(), &messages.CloseTable{Table: "tasks"})
		h.settle()
		closing.none("close table")
		h.wantState("tasks", closed)
		if err := h.g.CloseTable(h.Context(), "other"); err != nil {
			t.Error(err)
		}
		pass(61 * time.Second)
		h.settle()
		closing.one("close table")
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		again := async(func() (string, error) { return "", h.g.OpenTable(ctx, "tasks") })
		pass(2 * time.Second)
		h.settle()
		again.wantError(h, "open table", context.DeadlineExceeded)
		release()
		h.settle()
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			t.Error(err)
		}
		h.wantValue("tasks", "key", "value")
	})
}

// TestCloseTableWhileReopening takes effect at once, and the table stays closed.
func TestCloseTableWhileReopening(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		fail := h.fs.fail(walSync("tasks"))
		h.send(h.pid("tasks"), put("key", "value"))
		h.settle()
		fail()
		h.wantState("tasks", reopening)
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		h.wantState("tasks", closed)
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		h.put("tasks", "key", "value")
	})
}

// TestOpenTableThatFails says why, and goes on trying.
func TestOpenTableThatFails(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		repair := h.fs.fail(under(dir+"/tables/tasks/current", "open"))
		err := h.g.OpenTable(h.Context(), "tasks")
		if err == nil {
			t.Fatal("open table succeeded")
		}
		wantText(t, err.Error(), "injected fault")
		h.wantState("tasks", reopening)
		repair()
		pass(time.Second)
		h.wantState("tasks", open)
	})
}

// TestWalkHoldsNothingUp: a Walk whose callback does not return keeps no table from closing, nor from opening again; it is told
// so at its next page.
func TestWalkHoldsNothingUp(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for i := range 20 {
			h.put("tasks", fmt.Sprintf("%02d", i), string(make([]byte, 256<<10)))
		}
		gate := make(chan struct{})
		walk := async(func() (string, error) {
			return "", h.g.Table("tasks").Walk(h.Context(), nil, func(key, _ []byte) error {
				if string(key) == "02" {
					<-gate
				}
				return nil
			})
		})
		h.settle()
		walk.pending(h, "walk")
		closing := async(func() (string, error) { return "", h.g.CloseTable(h.Context(), "tasks") })
		h.settle()
		closing.want(h, "close table", "")
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			t.Error(err)
		}
		close(gate)
		h.settle()
		walk.wantError(h, "walk", messages.ErrUnavailable)
	})
}
