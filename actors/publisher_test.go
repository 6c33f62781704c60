package actors_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestBadSubscribers: a subscriber that panics, blocks or cancels itself hurts neither a commit nor a run, and no other
// subscriber misses an event.
func TestBadSubscribers(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}}, func(h *host) {
		first := h.events()
		gate := make(chan struct{})
		defer close(gate)
		panicked, blocked, cancelled := 0, 0, 0
		h.g.Subscribe(func(proto.Message) { panicked++; panic("a bad subscriber") })
		h.g.Subscribe(func(proto.Message) { blocked++; <-gate })
		var cancel func()
		cancel = h.g.Subscribe(func(proto.Message) { cancelled++; cancel(); cancel() })
		last := h.events()
		stream := 0
		h.system.EventStream.Subscribe(func(any) { stream++; panic("a bad subscriber of the stream") })

		for i := range 3 {
			h.put("a", "key", fmt.Sprint(i))
			h.wantRow(h.backup()["a"], backedUp)
		}
		h.settle()
		for _, e := range []*events{first, last} {
			if n := len(eventsOf[*messages.BackupComplete](e)); n != 3 {
				t.Errorf("a good subscriber got %d BackupComplete, want 3", n)
			}
			if n := len(eventsOf[proto.Message](e)); n != 3*(1+2+1) {
				t.Errorf("a good subscriber got %d events, want 12", n)
			}
		}
		if panicked != 12 || blocked != 1 || cancelled != 1 || stream < 12 {
			t.Errorf("calls: panicking %d, blocked %d, cancelled %d, stream %d", panicked, blocked, cancelled, stream)
		}
		if n := h.health("a").GetRestarts(); n != 0 {
			t.Errorf("restarts = %d", n)
		}
		begin := time.Now()
		h.stop()
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("stop took %v beside a blocked subscriber", took)
		}
	})
}

// TestBlockedStreamSubscriber: one who blocks the actor system's event stream holds up that stream alone.
func TestBlockedStreamSubscriber(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		gate := make(chan struct{})
		h.system.EventStream.Subscribe(func(event any) {
			if _, ok := event.(*messages.BackupStarted); ok {
				<-gate
			}
		})
		complete := 0
		h.system.EventStream.Subscribe(func(event any) {
			if _, ok := event.(*messages.BackupComplete); ok {
				complete++
			}
		})
		seen := h.events()
		for i := range 3 {
			h.put("tasks", "key", fmt.Sprint(i))
			h.backup()
		}
		h.settle()
		if n := len(eventsOf[*messages.BackupComplete](seen)); n != 3 || complete != 0 {
			t.Errorf("Subscribe got %d BackupComplete, the blocked stream %d", n, complete)
		}
		close(gate)
		h.settle()
		if complete != 3 {
			t.Errorf("the stream got %d BackupComplete after it was let go, want 3", complete)
		}
	})
}

// TestBackupCompleteIsNeverDropped: a subscriber that was blocked while thousands of events came has missed some, but not
// one BackupComplete.
func TestBackupCompleteIsNeverDropped(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b", "c", "d"}}, func(h *host) {
		gate := make(chan struct{})
		var runs []string
		seen := 0
		h.g.Subscribe(func(event proto.Message) {
			<-gate
			seen++
			if e, ok := event.(*messages.BackupComplete); ok {
				runs = append(runs, e.GetRunId())
			}
		})
		var want []string
		report := func() {
			got, err := h.g.BackupAll(h.Context())
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, got.GetSet().GetRunId())
		}
		report()
		flood := func(n int) {
			for range n { // three events each
				if err := h.g.CloseTable(h.Context(), "a"); err != nil {
					t.Fatal(err)
				}
				if err := h.g.OpenTable(h.Context(), "a"); err != nil {
					t.Fatal(err)
				}
			}
		}
		flood(400)
		report()
		flood(400)
		report()
		h.settle()
		close(gate)
		h.settle()
		if fmt.Sprint(runs) != fmt.Sprint(want) {
			t.Errorf("BackupComplete of %v, want %v", runs, want)
		}
		if seen > 1024+1+3 || seen < 1024 {
			t.Errorf("%d events were handled, of some 2,400", seen)
		}
	})
}

// TestEventsAfterStop: Stop hands over what was published before it returns, and Subscribe afterwards is harmless.
func TestEventsAfterStop(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		handled := 0
		h.g.Subscribe(func(proto.Message) { pass(time.Millisecond); handled++ })
		h.backup()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := h.g.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if handled != 4 { // started, backed up, complete, closed
			t.Errorf("%d events were handled before Stop returned, want 4", handled)
		}
		cancelLate := h.g.Subscribe(func(proto.Message) { t.Error("an event after Stop") })
		cancelLate()
		h.settle()
	})
}
