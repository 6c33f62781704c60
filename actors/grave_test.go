package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestDroppedTablesLeaveNothing: a table that comes and goes, and tables that never come back, cost no goroutine, and all that is
// sent to their PIDs is answered.
func TestDroppedTablesLeaveNothing(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		round := func(i int) {
			name := "scratch"
			if i%2 == 0 {
				name = fmt.Sprintf("scratch_%d", i)
			}
			if err := h.g.CreateTable(h.Context(), name, true); err != nil {
				t.Fatal(err)
			}
			h.put(name, "k", fmt.Sprint(i))
			if err := h.g.Drop(h.Context(), drop(name)); err != nil {
				t.Fatal(err)
			}
		}
		round(0)
		round(1)
		pass(time.Minute)
		h.settle()
		before := runtime.NumGoroutine()
		for i := range 200 {
			round(i + 2)
		}
		pass(time.Minute)
		h.settle()
		// A leak is at least one for each of the 100 names; the runtime counts a few that are ending.
		if after := runtime.NumGoroutine(); after > before+10 {
			stacks := make([]byte, 1<<20)
			t.Errorf("%d goroutines after 200 rounds, %d before:\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
		}
		if kept := h.g.Owners(); kept != 1 {
			t.Errorf("%d owners are left, want 1", kept)
		}
	})
}

// TestPIDOfADroppedTable answers every request NOT_FOUND, a watch with the owner's end, and serves the next table of that name; after
// Stop it is as any other's.
func TestPIDOfADroppedTable(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}}, func(h *host) {
		h.put("old", "k", "v")
		pid, table := h.pid("old"), h.g.Table("old")
		early := h.sender()
		p, _ := h.system.ProcessRegistry.Get(pid)
		p.SendSystemMessage(pid, &actor.Watch{Watcher: early.pid})
		for round := range 3 {
			if err := h.g.Drop(h.Context(), drop("old")); err != nil {
				t.Fatal(err)
			}
			h.settle()
			if round == 0 {
				if ended, ok := early.one("watch before the drop").(*actor.Terminated); !ok || !ended.GetWho().Equal(pid) {
					t.Errorf("watch before the drop: %v", early.answers())
				}
			}
			if got := h.pid("old"); !got.Equal(pid) {
				t.Errorf("PID is %v, was %v", got, pid)
			}
			for what, request := range requests("k") {
				for _, to := range []*actor.PID{pid, h.pid("old")} { // one that remembers the actor, and one that does not
					s := h.send(to, request)
					h.settle()
					s.failure(what+" of a dropped table", messages.Code_CODE_NOT_FOUND)
				}
			}
			empty := h.send(pid, nil)
			h.settle()
			empty.failure("nil", messages.Code_CODE_NOT_FOUND)
			watcher := h.sender()
			p, _ := h.system.ProcessRegistry.Get(pid)
			p.SendSystemMessage(pid, &actor.Watch{Watcher: watcher.pid})
			h.system.Root.Stop(pid)
			h.system.Root.Poison(pid)
			h.settle()
			if ended, ok := watcher.one("watch").(*actor.Terminated); !ok || !ended.GetWho().Equal(pid) {
				t.Errorf("watch: %v", watcher.answers())
			}
			_, err := table.Put(h.Context(), []byte("k"), nil)
			wantCode(t, "put by a handle", err, messages.Code_CODE_NOT_FOUND)
			_, err = table.Get(h.Context(), []byte("k"))
			wantCode(t, "get by a handle", err, messages.Code_CODE_NOT_FOUND)
			wantCode(t, "walk by a handle", table.Walk(h.Context(), nil, nil), messages.Code_CODE_NOT_FOUND)
			wantCode(t, "open", h.g.OpenTable(h.Context(), "old"), messages.Code_CODE_NOT_FOUND)
			if err := h.g.CreateTable(h.Context(), "old", true); err != nil {
				t.Fatal(err)
			}
			if _, err := table.Put(h.Context(), []byte("k"), []byte(fmt.Sprint(round))); err != nil {
				t.Errorf("put by the old handle: %v", err)
			}
			s := h.send(pid, get("k"))
			h.settle()
			if value, ok := s.one("get").(*messages.Value); !ok || string(value.GetValue()) != fmt.Sprint(round) {
				t.Errorf("get by the old PID: %v", s.answers())
			}
		}
		if err := h.g.Drop(h.Context(), drop("old")); err != nil {
			t.Fatal(err)
		}
		h.stop()
		if _, there := h.system.ProcessRegistry.Get(pid); there {
			t.Error("something is left at the PID after Stop")
		}
		h.start() // under the same name
		h.wantState("old", quarantined)
	})
}

// TestCreateBesideTheOldOwner waits for the end of the owner before it: one that is busy is not run over.
func TestCreateBesideTheOldOwner(t *testing.T) {
	bubble(t, intercepted(actors.Config{Tables: []string{"tasks", "old"}}), func(h *host) {
		h.put("old", "k", "v")
		gate := make(chan struct{})
		free := sync.OnceFunc(func() { close(gate) })
		defer free()
		h.middle.set(func(actor string, message any) {
			if _, ok := message.(*messages.Get); ok && actor == "old" {
				<-gate
			}
		}, nil)
		busy := h.send(h.pid("old"), get("k"))
		queued := h.send(h.pid("old"), put("k", "w"))
		h.settle()
		if err := h.g.Drop(h.Context(), drop("old")); err != nil {
			t.Fatal(err)
		}
		h.settle()
		late := h.send(h.pid("old"), put("k", "x"))
		var creates []*sender
		for range 3 {
			creates = append(creates, h.send(h.g.Supervisor(), &messages.CreateTable{Table: "old", CreateEmpty: true}))
		}
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		if err := h.g.CreateTable(ctx, "old", true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("create beside an owner that is busy: %v", err)
		}
		h.settle()
		late.failure("put after the drop", messages.Code_CODE_NOT_FOUND)
		free()
		h.settle()
		busy.failure("get before the drop", messages.Code_CODE_NOT_FOUND)
		queued.failure("put before the drop", messages.Code_CODE_NOT_FOUND)
		made := 0
		for _, s := range creates {
			if _, ok := s.one("create").(*messages.TableList); ok {
				made++
			}
		}
		if made > 1 {
			t.Errorf("%d creates made the table", made)
		}
		h.wantState("old", open)
		h.wantValue("old", "k", "")
		h.put("old", "k", "y")
	})
}

// TestStopBesideTheOldOwner: a Gabion stops while a dropped table's owner is on its way out and a create waits for it.
func TestStopBesideTheOldOwner(t *testing.T) {
	bubble(t, intercepted(actors.Config{Tables: []string{"tasks", "old"}}), func(h *host) {
		gate := make(chan struct{})
		free := sync.OnceFunc(func() { close(gate) })
		defer free()
		h.middle.set(func(actor string, message any) {
			if _, ok := message.(*messages.Get); ok && actor == "old" {
				<-gate
			}
		}, nil)
		busy := h.send(h.pid("old"), get("k"))
		h.settle()
		if err := h.g.Drop(h.Context(), drop("old")); err != nil {
			t.Fatal(err)
		}
		create := h.send(h.g.Supervisor(), &messages.CreateTable{Table: "old", CreateEmpty: true})
		h.settle()
		stop := async(func() (string, error) { return "", h.g.Stop(context.Background()) })
		h.settle()
		create.failure("create", messages.Code_CODE_UNAVAILABLE)
		free()
		h.settle()
		pass(time.Minute)
		stop.want(h, "stop", "")
		busy.one("get")
		h.middle.set(nil, nil)
		h.start()
		h.wantState("old", quarantined)
	})
}

// TestRequestsAroundDrops: each request to a table that comes and goes is answered, once; a write that was answered Committed
// was carried out in a table that was there.
func TestRequestsAroundDrops(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}}, func(h *host) {
		pid, table := h.pid("old"), h.g.Table("old")
		halt := make(chan struct{})
		var wg sync.WaitGroup
		var sent []*sender
		wg.Go(func() {
			for {
				select {
				case <-halt:
					return
				default:
					sent = append(sent, h.send(pid, put("k", "v")))
					runtime.Gosched()
				}
			}
		})
		wg.Go(func() {
			for {
				select {
				case <-halt:
					return
				default:
				}
				_, err := table.Put(h.Context(), []byte("k"), nil)
				if err != nil && !errors.Is(err, messages.ErrNotFound) && !errors.Is(err, messages.ErrUnavailable) {
					t.Errorf("put by a handle: %v", err)
					return
				}
			}
		})
		for range 50 {
			if err := h.g.Drop(h.Context(), drop("old")); err != nil {
				t.Errorf("drop: %v", err)
			}
			if err := h.g.CreateTable(h.Context(), "old", true); err != nil {
				t.Errorf("create: %v", err)
			}
		}
		close(halt)
		wg.Wait()
		h.settle()
		for _, s := range sent {
			s.one("put")
		}
	})
}
