package actors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// requests has one of each message that an owner answers, keyed by what it is.
func requests(key string) map[string]any {
	return map[string]any{
		"put":          put(key, "value"),
		"delete":       &messages.Delete{Key: []byte(key)},
		"delete range": &messages.DeleteRange{Start: []byte(key), End: []byte(key + "\xff")},
		"write":        &messages.Write{Ops: []*messages.Op{putOp(key, "value")}},
		"get":          get(key),
		"scan":         &messages.Scan{Prefix: []byte(key)},
	}
}

// once makes a hook that panics on the first message that matches.
func once(match func(message any) bool) func(actor string, message any) {
	panicked := false
	return func(_ string, message any) {
		if !panicked && match(message) {
			panicked = true
			panic("injected panic")
		}
	}
}

// TestOwnerPanicsBeforeRequest: the request the owner died on is answered INTERNAL, once, and was not carried out. What
// queued behind it is answered as ever, by the same PID, from a store that was never closed.
func TestOwnerPanicsBeforeRequest(t *testing.T) {
	for what, request := range requests("key") {
		t.Run(what, func(t *testing.T) {
			bubble(t, intercepted(actors.Config{}), func(h *host) {
				h.put("tasks", "key", "before")
				pid, before := h.pid("tasks"), h.info("tasks").GetPosition()
				h.middle.set(once(func(m any) bool { return m == request }), nil)
				died := h.send(pid, request)
				var behind []*sender
				for i := range 20 {
					behind = append(behind, h.send(pid, put(fmt.Sprintf("behind%02d", i), "x")))
				}
				h.settle()
				f := died.failure(what, messages.Code_CODE_INTERNAL)
				if f.GetOutcomeUnknown() || f.GetHint() == "" {
					t.Errorf("failure = %v, want a hint and a known outcome", f)
				}
				for i, s := range behind {
					if seq := s.committed("put behind"); seq != uint64(i)+2 {
						t.Errorf("put %d behind has seq %d", i, seq)
					}
				}
				h.wantValue("tasks", "key", "before")
				if h.pid("tasks") != pid {
					t.Error("the PID changed")
				}
				after := h.info("tasks").GetPosition()
				if after.GetLineage() != before.GetLineage() || after.GetIncarnation() != before.GetIncarnation() {
					t.Errorf("position %v became %v: the store was reopened", before, after)
				}
				if n := h.health("tasks").GetRestarts(); n != 1 {
					t.Errorf("restarts = %d, want 1", n)
				}
			})
		})
	}
}

// TestOwnerPanicsAfterRequest: a request that was in other hands when the owner died keeps its normal answer.
func TestOwnerPanicsAfterRequest(t *testing.T) {
	for what, request := range requests("key") {
		t.Run(what, func(t *testing.T) {
			bubble(t, intercepted(actors.Config{}), func(h *host) {
				h.put("tasks", "key", "before")
				h.middle.set(nil, once(func(m any) bool { return m == request }))
				died := h.send(h.pid("tasks"), request)
				behind := h.send(h.pid("tasks"), put("behind", "x"))
				h.settle()
				if f, ok := died.one(what).(*messages.Failure); ok {
					t.Errorf("%s = %v, want its answer", what, f)
				}
				behind.committed("put behind")
				switch what {
				case "put", "write":
					h.wantValue("tasks", "key", "value")
				case "delete", "delete range":
					h.wantValue("tasks", "key", "")
				}
				if n := h.health("tasks").GetRestarts(); n != 1 {
					t.Errorf("restarts = %d, want 1", n)
				}
			})
		})
	}
}

// TestOwnerPanicsWhileWriteWaits: the owner dies after it took a Put whose fsync hangs. The Put is not answered before it
// is durable, and not twice.
func TestOwnerPanicsWhileWriteWaits(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		open := h.fs.hang(h.T, walSync("tasks"))
		h.middle.set(nil, once(func(m any) bool { _, ok := m.(*messages.Put); return ok }))
		died := h.send(h.pid("tasks"), put("key", "value"))
		read := h.send(h.pid("tasks"), get("key"))
		h.settle()
		died.none("put")
		read.none("get")
		open()
		h.settle()
		died.committed("put")
		if v, ok := read.one("get").(*messages.Value); !ok || string(v.GetValue()) != "value" {
			t.Errorf("get = %v", v)
		}
	})
}

// TestOwnerPanicsOnBadRequest: what was answered before the panic is not answered again.
func TestOwnerPanicsOnBadRequest(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		h.middle.set(nil, once(func(m any) bool { _, ok := m.(*messages.Put); return ok }))
		bad := h.send(h.pid("tasks"), put("", ""))
		h.settle()
		bad.failure("put of an empty key", messages.Code_CODE_INVALID_ARGUMENT)
	})
}

// TestOwnerPanicsPastBudget: panics that do not end get the cell reopened, and in the end the table quarantined. Every
// request is answered, once, all the while, and another table never notices.
func TestOwnerPanicsPastBudget(t *testing.T) {
	bubble(t, intercepted(actors.Config{Tables: []string{"tasks", "other"}}), func(h *host) {
		seen := h.events()
		h.put("tasks", "kept", "value")
		incarnation := h.info("tasks").GetPosition().GetIncarnation()
		h.middle.set(func(name string, m any) {
			if p, ok := m.(*messages.Put); ok && name == "tasks" && string(p.GetKey()) == "poison" {
				panic("poison")
			}
		}, nil)
		poison := func(n int) {
			var all []*sender
			for range n {
				all = append(all, h.send(h.pid("tasks"), put("poison", "x")), h.send(h.pid("tasks"), get("kept")))
			}
			h.settle()
			for i, s := range all {
				if f, ok := s.one("request").(*messages.Failure); i%2 == 0 && (!ok || f.GetCode() != messages.Code_CODE_INTERNAL) {
					t.Errorf("poison was answered %v", s.answers())
				}
			}
		}
		poison(10)
		if n := h.health("tasks").GetRestarts(); n != 10 {
			t.Errorf("restarts = %d, want 10", n)
		}
		h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
		if n := len(eventsOf[*messages.TableStateChanged](seen)); n != 0 {
			t.Errorf("%d changes of state within the budget", n)
		}
		poison(1)
		h.wantState("tasks", messages.TableState_TABLE_STATE_REOPENING)
		h.send(h.pid("tasks"), get("kept")).h.settle()
		pass(time.Second)
		h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
		h.wantValue("tasks", "kept", "value")
		h.put("tasks", "more", "x")
		if got := h.info("tasks").GetPosition().GetIncarnation(); got <= incarnation {
			t.Errorf("incarnation %d did not rise from %d: the store was not reopened", got, incarnation)
		}
		for range 10 {
			pass(37 * time.Second) // longer than any back-off
			poison(11)
		}
		h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		f := h.send(h.pid("tasks"), get("kept"))
		h.settle()
		refusal := f.failure("get of a quarantined table", messages.Code_CODE_UNAVAILABLE)
		wantText(t, refusal.GetMessage(), "quarantined", "panicked more than 10 times")
		h.put("other", "key", "value")
		if n := h.health("other").GetRestarts(); n != 0 {
			t.Errorf("the other table has %d restarts", n)
		}
	})
}

// TestReopenAfterPanicsKeepsAnswers: nothing is wrong with the disk when a cell is reopened because its owner panics, so
// what was accepted before is committed and answered as ever.
func TestReopenAfterPanicsKeepsAnswers(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		h.middle.set(func(_ string, m any) {
			if p, ok := m.(*messages.Put); ok && string(p.GetKey()) == "poison" {
				panic("poison")
			}
		}, nil)
		release := h.fs.hang(h.T, walSync("tasks"))
		var writes []*sender
		for i := range 100 {
			writes = append(writes, h.send(h.pid("tasks"), put(fmt.Sprint(i), "value")))
		}
		for range 11 {
			h.send(h.pid("tasks"), put("poison", "x"))
		}
		h.settle()
		h.wantState("tasks", messages.TableState_TABLE_STATE_REOPENING)
		release()
		h.settle()
		for _, s := range writes {
			s.committed("put")
		}
		pass(time.Second)
		if n := h.health("tasks").GetCount(); n != 100 {
			t.Errorf("%d rows, want 100", n)
		}
	})
}

// TestPanicsWhileReopeningDoNotCount: what the owner panics on while its store is closed says nothing about the next one.
func TestPanicsWhileReopeningDoNotCount(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		h.middle.set(func(_ string, m any) {
			if p, ok := m.(*messages.Put); ok && string(p.GetKey()) == "poison" {
				panic("poison")
			}
		}, nil)
		seen := h.events()
		for range 2 {
			for range 11 {
				h.send(h.pid("tasks"), put("poison", "x"))
			}
			h.settle()
			h.wantState("tasks", messages.TableState_TABLE_STATE_REOPENING)
		}
		pass(time.Second)
		h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
		reopened := 0
		for _, e := range eventsOf[*messages.TableStateChanged](seen) {
			if e.GetTo() == messages.TableState_TABLE_STATE_REOPENING {
				reopened++
			}
		}
		if reopened != 1 {
			t.Errorf("the store was reopened %d times want once", reopened)
		}
	})
}
