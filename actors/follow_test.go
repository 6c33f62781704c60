package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// followed is what one FollowEvents yielded so far.
type followed struct {
	events []*messages.LoggedEvent
	errs   []error
	ended  bool
}

// follow reads events on a goroutine of its own, each after gate, where that is not nil.
func (h *host) follow(ctx context.Context, m *messages.ListEvents, gate <-chan struct{}) *followed {
	f := &followed{}
	g := h.g
	go func() {
		for e, err := range g.FollowEvents(ctx, m) {
			if err != nil {
				f.errs = append(f.errs, err)
				continue
			}
			f.events = append(f.events, e)
			if gate != nil {
				<-gate
			}
		}
		f.ended = true
	}()
	return f
}

// wantFollowed checks that what was followed is what was logged, from the event at from on.
func (h *host) wantFollowed(f *followed, from int) {
	h.Helper()
	h.settle()
	logged := h.logged(nil)[from:]
	if len(f.events) != len(logged) {
		h.Fatalf("followed %d events, logged are %d", len(f.events), len(logged))
	}
	for i, e := range f.events {
		if e.GetSeq() != logged[i].GetSeq() || kinds(f.events[i:i+1]) != kinds(logged[i:i+1]) {
			h.Errorf("event %d: followed %v, logged %v", i, e, logged[i])
		}
	}
}

// TestFollowEvents: each event comes once, in order, the log's first, until ctx or Gabion ends.
func TestFollowEvents(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.stop()
		h.start()
		ctx, cancel := context.WithCancelCause(h.Context())
		errGone := errors.New("gone")
		all, some := h.follow(ctx, nil, nil), h.follow(h.Context(), &messages.ListEvents{After: h.logged(nil)[1].GetSeq(), Limit: 1}, nil)
		future := h.follow(h.Context(), &messages.ListEvents{After: 1 << 63}, nil)
		h.wantFollowed(all, 0)
		before := len(all.events)
		h.put("tasks", "k", "w")
		h.backup()
		h.wantFollowed(all, 0)
		h.wantFollowed(some, 2)
		h.wantFollowed(future, before)
		cancel(errGone)
		h.settle()
		if !all.ended || len(all.errs) != 1 || !errors.Is(all.errs[0], errGone) {
			t.Errorf("after its context: ended %v with %v", all.ended, all.errs)
		}
		h.stop()
		h.settle()
		if !some.ended || len(some.errs) > 0 {
			t.Errorf("after Stop: ended %v with %v", some.ended, some.errs)
		}
		late := h.follow(h.Context(), nil, nil)
		h.settle()
		if !late.ended {
			t.Error("who follows after Stop waits for ever")
		}
	})
}

// TestFollowSlowly: who falls behind gets what it missed from the log, and holds up nobody.
func TestFollowSlowly(t *testing.T) {
	tables := make([]string, 60)
	for i := range tables {
		tables[i] = fmt.Sprintf("t%02d", i)
	}
	bubble(t, actors.Config{Tables: tables}, func(h *host) {
		gate := make(chan struct{})
		slow := h.follow(h.Context(), nil, gate)
		h.settle()
		for range 20 { // 62 events each
			h.backup()
		}
		if n := len(slow.events); n != 1 {
			t.Fatalf("%d events were followed before the gate opened", n)
		}
		close(gate)
		h.settle()
		// An event finds it behind: the queue dropped those before.
		h.put("t00", "k", "v")
		h.backup()
		h.wantFollowed(slow, 0)
		if n := len(slow.events); n < 1200 {
			t.Errorf("followed %d events", n)
		}
	})
}

// TestFollowWithoutLog: a log that cannot be read is told, and costs nothing of what comes.
func TestFollowWithoutLog(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		heal := h.fs.fail(under(eventLog, "list"))
		f := h.follow(h.Context(), nil, nil)
		h.settle()
		if len(f.errs) != 1 || !errors.Is(f.errs[0], messages.ErrInternal) && !errors.Is(f.errs[0], messages.ErrUnavailable) {
			t.Errorf("errors %v", f.errs)
		}
		for i := range 3 {
			h.put("tasks", "k", fmt.Sprint(i))
			h.backup()
		}
		pass(time.Second)
		h.settle()
		if kinds(f.events) != "BackupStarted TableBackedUp BackupComplete BackupStarted TableBackedUp BackupComplete "+
			"BackupStarted TableBackedUp BackupComplete" {
			t.Errorf("followed %s", kinds(f.events))
		}
		heal()
	})
}

// TestFollowBesideReading: an event that is published while the log is read comes once.
func TestFollowBesideReading(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		once := sync.OnceFunc(func() {
			h.put("tasks", "k", "v")
			h.backup()
			pass(time.Second) // it is logged by then
		})
		defer h.fs.on(under(eventLog, "list"), func(fileOp) error { once(); return nil })()
		f := h.follow(h.Context(), nil, nil)
		pass(2 * time.Second)
		h.wantFollowed(f, 0)
	})
}

// TestLeaving: who no longer follows leaves nothing behind, and holds up no Stop.
func TestLeaving(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		before := runtime.NumGoroutine()
		for range 20 {
			for range h.g.FollowEvents(h.Context(), nil) {
				// The next event finds nobody to take it.
				h.put("tasks", "k", "v")
				h.backup()
				break
			}
		}
		h.settle()
		if after := runtime.NumGoroutine(); after > before+5 {
			t.Errorf("%d goroutines before, %d after", before, after)
		}
		begin := time.Now()
		h.stop()
		if took := time.Since(begin); took >= time.Second {
			t.Errorf("stop took %v", took)
		}
	})
}
