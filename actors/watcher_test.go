package actors_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// watcher is an actor of the host that watches one PID.
type watcher struct {
	h  *host
	mu sync.Mutex
	of []*actor.Terminated
}

func (h *host) watch(pid *actor.PID) *watcher {
	w := &watcher{h: h}
	h.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Watch(pid)
		case *actor.Terminated:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.of = append(w.of, m)
		}
	}))
	h.settle()
	return w
}

// wantEnds wants the watcher to have been told of these ends so far.
func (w *watcher) wantEnds(after string, want ...actor.TerminatedReason) {
	w.h.Helper()
	w.h.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	var got []actor.TerminatedReason
	for _, m := range w.of {
		got = append(got, m.GetWhy())
	}
	if !slices.Equal(got, want) {
		w.h.Errorf("after %s the watcher was told %v, want %v", after, got, want)
	}
}

// TestWatchOfAnOwner: whoever watches an owner is told nothing while the table has its PID, whatever becomes of its store, and is told
// once when the table is dropped, or Gabion stops.
func TestWatchOfAnOwner(t *testing.T) {
	const stopped, notFound = actor.TerminatedReason_Stopped, actor.TerminatedReason_NotFound
	bubble(t, intercepted(actors.Config{Tables: []string{"tasks", "old"}}), func(h *host) {
		h.put("tasks", "key", "value")
		h.put("old", "key", "value")
		pid := h.pid("tasks")
		tasks, old := h.watch(pid), h.watch(h.pid("old"))
		poison := func(n int) {
			h.middle.set(func(_ string, m any) {
				if p, ok := m.(*messages.Put); ok && string(p.GetKey()) == "poison" {
					panic("poison")
				}
			}, nil)
			for range n {
				h.send(pid, put("poison", "x"))
			}
			h.settle()
		}
		poison(1)
		tasks.wantEnds("a restart of the owner")
		if n := h.health("tasks").GetRestarts(); n != 1 {
			t.Fatalf("restarts = %d, want 1", n)
		}

		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		tasks.wantEnds("CloseTable")
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		tasks.wantEnds("OpenTable")

		h.backup("tasks")
		if _, err := h.g.Restore(h.Context(), &messages.RestoreTable{Table: "tasks"}); err != nil {
			t.Fatal(err)
		}
		tasks.wantEnds("a restore")

		remove := h.fs.fail(walSync("tasks"))
		h.send(pid, put("other", "unknown"))
		h.settle()
		h.wantState("tasks", messages.TableState_TABLE_STATE_REOPENING)
		remove()
		pass(time.Minute)
		h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
		tasks.wantEnds("a frozen store was opened again")

		for range 11 {
			poison(11)
			pass(37 * time.Second)
		}
		h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		tasks.wantEnds("quarantine")
		h.middle.set(nil, nil)
		if err := h.g.RetryTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		tasks.wantEnds("RetryTable")
		if !h.pid("tasks").Equal(pid) {
			t.Errorf("PID is %v, was %v", h.pid("tasks"), pid)
		}
		h.wantValue("tasks", "key", "value")

		if err := h.g.Drop(h.Context(), drop("old")); err != nil {
			t.Fatal(err)
		}
		old.wantEnds("the table was dropped", stopped)
		h.watch(h.pid("old")).wantEnds("a watch of a dropped table", notFound)
		if err := h.g.CreateTable(h.Context(), "old", true); err != nil {
			t.Fatal(err)
		}
		old.wantEnds("the table was created anew", stopped)
		anew := h.watch(h.pid("old"))
		h.watch(h.pid("nosuch")).wantEnds("a watch of no table", notFound)

		h.stop()
		tasks.wantEnds("Stop", stopped)
		anew.wantEnds("Stop", stopped)
		old.wantEnds("Stop", stopped)
		h.watch(pid).wantEnds("a watch after Stop", notFound)
		h.start()
		tasks.wantEnds("the next start", stopped)
		if !h.pid("tasks").Equal(pid) {
			t.Errorf("after the next start PID is %v, was %v", h.pid("tasks"), pid)
		}
	})
}
