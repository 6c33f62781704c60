package actors_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestPIDOfNoTable answers each request as the handle does: with the same code, text and hint. It serves the table once
// there is one.
func TestPIDOfNoTable(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for _, name := range []string{"nosuch", "backup", "No Name", "", "a/b", "tasks/x"} {
			_, err := h.g.Table(name).Put(h.Context(), []byte("k"), []byte("v"))
			var want *messages.Failure
			if errors.As(err, &want); want.GetCode() != messages.Code_CODE_NOT_FOUND || want.GetHint() == "" {
				t.Errorf("handle of %q answered %v, want NOT_FOUND with a hint", name, want)
			}
			pid := h.g.PID(name)
			for what, request := range requests("k") {
				for _, to := range []*actor.PID{pid, h.g.PID(name)} {
					s := h.send(to, request)
					h.settle()
					got := s.failure(fmt.Sprintf("%s of %q", what, name), messages.Code_CODE_NOT_FOUND)
					if !proto.Equal(got, want) {
						t.Errorf("%s of %q answered %v, want %v", what, name, got, want)
					}
				}
			}
			answer, err := h.system.Root.RequestFuture(pid, get("k"), time.Minute).Result()
			if f, ok := answer.(*messages.Failure); !ok || f.GetCode() != messages.Code_CODE_NOT_FOUND {
				t.Errorf("future of %q = %v, %v", name, answer, err)
			}
		}
		pid := h.pid("nosuch")
		h.system.Root.Stop(pid) // which nobody but Gabion does
		if err := h.g.CreateTable(h.Context(), "nosuch", false); err != nil {
			t.Fatal(err)
		}
		s := h.send(pid, put("k", "v"))
		h.settle()
		s.committed("put to the PID from before the table")
		if err := h.g.Drop(h.Context(), drop("nosuch")); err != nil {
			t.Fatal(err)
		}
		h.stop()
		if _, there := h.system.ProcessRegistry.Get(h.pid("never")); there {
			t.Error("something is at a PID after Stop")
		}
	})
}

// TestPIDsOfManyNames keeps an answer for the last names alone.
func TestPIDsOfManyNames(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		known := func(name string) bool {
			_, there := h.system.ProcessRegistry.GetLocal("gabion/" + name)
			return there
		}
		tasks := h.pid("tasks")
		for i := range 3000 {
			h.g.PID(fmt.Sprintf("t%d", i))
		}
		for i, want := range map[int]bool{0: false, 1975: false, 1976: true, 2999: true} {
			if got := known(fmt.Sprintf("t%d", i)); got != want {
				t.Errorf("name %d is answered: %v, want %v", i, got, want)
			}
		}
		if err := h.g.CreateTable(h.Context(), "t2999", false); err != nil {
			t.Fatal(err)
		}
		for i := range 3000 {
			h.g.PID(fmt.Sprintf("u%d", i))
		}
		h.put("t2999", "k", "v")
		for _, to := range []*actor.PID{tasks, h.pid("t2999")} {
			s := h.send(to, get("k"))
			h.settle()
			if _, ok := s.one("get").(*messages.Value); !ok {
				t.Errorf("%s answered %v", to.GetId(), s.answers())
			}
		}
	})
}
