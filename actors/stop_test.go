package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestStopDrains: what was sent before Stop is committed and answered, what comes after is refused, and the next
// Start, under the same name in the same system, finds all of it.
func TestStopDrains(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		pid := h.pid("tasks")
		var writes []*sender
		for i := range 500 {
			writes = append(writes, h.send(pid, put(fmt.Sprint(i), "value")))
		}
		h.stop()
		for _, s := range writes {
			s.committed("put before stop")
		}
		for what, request := range requests("key") {
			s := h.send(pid, request)
			h.settle()
			s.one(what + " after stop")
		}
		table := h.g.Table("tasks")
		if _, err := table.Put(h.Context(), []byte("late"), nil); !errors.Is(err, messages.ErrUnavailable) || errors.Is(err, messages.ErrOutcomeUnknown) {
			t.Errorf("put after stop = %v", err)
		}
		if _, err := table.Get(h.Context(), []byte("1")); !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("get after stop = %v", err)
		}
		if _, err := h.g.BackupAll(h.Context()); !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("backup after stop = %v", err)
		}
		if _, err := h.g.ListTables(h.Context()); !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("list after stop = %v", err)
		}
		h.stop() // again
		h.start()
		if n := h.health("tasks").GetCount(); n != 500 {
			t.Errorf("%d rows after the next start, want 500", n)
		}
	})
}

// TestRequestsAroundStop hammers every actor while it stops. All requests are answered, once, and a write that was
// answered Committed is there after the next start.
func TestRequestsAroundStop(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		targets := []struct {
			pid     *actor.PID
			request func(n int) any
		}{
			{h.pid("tasks"), func(n int) any { return put(fmt.Sprint(n), "value") }},
			{h.pid("tasks"), func(n int) any { return get(fmt.Sprint(n)) }},
			{h.pid("other"), func(n int) any { return &messages.Scan{} }},
			{h.g.Coordinator(), func(n int) any { return &messages.HealthMetrics{} }},
			{h.g.Supervisor(), func(n int) any { return &messages.ListTables{} }},
			{h.g.Supervisor(), func(n int) any { return &messages.OpenTable{Table: "tasks"} }},
		}
		senders := make([][]*sender, len(targets))
		halt := make(chan struct{})
		var wg sync.WaitGroup
		for i, target := range targets {
			wg.Go(func() {
				after := 0
				for n := 0; after < 20; n++ {
					select {
					case <-halt:
						after++
					default:
					}
					senders[i] = append(senders[i], h.send(target.pid, target.request(n)))
				}
			})
		}
		h.stop()
		close(halt)
		wg.Wait()
		h.settle()
		committed := 0
		for i := range senders {
			for _, s := range senders[i] {
				if _, ok := s.one(fmt.Sprintf("request to %v", targets[i].pid.GetId())).(*messages.Committed); ok {
					committed++
				}
			}
		}
		h.start()
		if n := h.health("tasks").GetCount(); n != uint64(committed) {
			t.Errorf("%d rows after the next start, %d puts were answered Committed", n, committed)
		}
	})
}

// TestStopOutlivesHungDisk: when the time to stop is over while a WAL's fsync hangs, the error names the table, what
// waits is answered, the others are closed as ever, and the lock is kept until the call returns.
func TestStopOutlivesHungDisk(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("other", "key", "value")
		open := h.fs.hang(h.T, walSync("tasks"))
		write := h.send(h.pid("tasks"), put("key", "value"))
		read := h.send(h.pid("tasks"), get("key"))
		scan := h.send(h.pid("tasks"), &messages.Scan{})
		h.settle()
		late := h.send(h.pid("other"), put("late", "value"))

		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		first := h.g.Stop(ctx)
		if took := time.Since(begin); took < 30*time.Second || took > 31*time.Second {
			t.Errorf("stop took %v, its context 30s", took)
		}
		if !errors.Is(first, context.DeadlineExceeded) || len(messages.Hints(first)) == 0 {
			t.Fatalf("stop = %v, want its context's error with a hint", first)
		}
		wantText(t, first.Error(), `table "tasks"`)
		h.settle()
		if f := write.failure("put", messages.Code_CODE_UNAVAILABLE); !f.GetOutcomeUnknown() || f.GetHint() == "" {
			t.Errorf("put = %v, want outcome_unknown and a hint", f)
		}
		for _, s := range []*sender{read, scan} {
			if f := s.failure("read", messages.Code_CODE_UNAVAILABLE); f.GetOutcomeUnknown() {
				t.Errorf("read = %v: a read has no outcome", f)
			}
		}
		late.committed("put to the other table")

		if second := h.g.Stop(context.Background()); second == nil || second.Error() != first.Error() {
			t.Errorf("second stop = %v, want %v", second, first)
		}
		if g, err := actors.Start(h.Context(), h.system, h.config); !errors.Is(err, store.ErrHeld) {
			t.Fatalf("start beside a hung call = %v, %v", g, err)
		}
		open()
		h.settle()
		h.start()
		h.wantValue("other", "key", "value")
		h.wantValue("other", "late", "value")
	})
}

// TestSecondStopIsBoundedToo by its own context.
func TestSecondStopIsBoundedToo(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		open := h.fs.hang(h.T, walSync("tasks"))
		h.send(h.pid("tasks"), put("key", "value"))
		h.settle()
		first := async(func() (string, error) { return "", h.g.Stop(context.Background()) })
		h.settle()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		second := async(func() (string, error) { return "", h.g.Stop(ctx) })
		pass(3 * time.Second)
		h.settle()
		second.wantError(h, "second stop", context.DeadlineExceeded)
		first.pending(h, "first stop")
		open()
		h.settle()
		first.want(h, "first stop", "")
	})
}

// TestStopWithoutTime: a context that has ended already stops all the same, and gives the directory free.
func TestStopWithoutTime(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "key", "value")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := h.g.Stop(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stop = %v", err)
		}
		pass(time.Minute)
		h.settle()
		h.start()
		h.wantValue("tasks", "key", "value")
	})
}

// TestStopWithBlockedOwner: an owner that the host's middleware blocks holds up its own table alone, and what queued
// behind it is answered when it is let go.
func TestStopWithBlockedOwner(t *testing.T) {
	bubble(t, intercepted(actors.Config{Tables: []string{"tasks", "other"}}), func(h *host) {
		gate := make(chan struct{})
		h.middle.set(func(name string, m any) {
			if p, ok := m.(*messages.Put); ok && string(p.GetKey()) == "block" {
				<-gate
			}
		}, nil)
		blocked := h.send(h.pid("tasks"), put("block", "x"))
		behind := h.send(h.pid("tasks"), put("behind", "x"))
		other := h.send(h.pid("other"), put("key", "value"))
		h.settle()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := h.g.Stop(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop = %v", err)
		}
		other.committed("put to the other table")
		close(gate)
		h.settle()
		blocked.one("the put that blocked")
		behind.one("the put behind")
		h.start()
		h.wantValue("other", "key", "value")
	})
}

// TestStopThroughPanickingMiddleware: middleware that panics on everything it does not know cannot hold up Stop.
func TestStopThroughPanickingMiddleware(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		h.put("tasks", "key", "value")
		h.middle.set(func(string, any) { panic("always") }, nil)
		begin := time.Now()
		h.stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stop took %v", took)
		}
		h.middle.set(nil, nil)
		h.start()
		h.wantValue("tasks", "key", "value")
	})
}

// TestStopBesideHungBackupDisk: a run that hangs in the backup directory does not use up the tables' time.
func TestStopBesideHungBackupDisk(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "key", "value")
		open := h.fs.hang(h.T, under(backups, "create", "mkdir", "list", "open", "stat", "sync", "rename"))
		run := h.send(h.g.Coordinator(), &messages.BackupAll{})
		h.settle()
		write := h.send(h.pid("tasks"), put("more", "value"))
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err := h.g.Stop(ctx)
		write.committed("put before stop")
		if err != nil {
			for _, name := range []string{"tasks", "other"} {
				if wrong := fmt.Sprintf("table %q", name); strings.Contains(err.Error(), wrong) {
					t.Errorf("stop = %v: %s does not hang", err, wrong)
				}
			}
		}
		open()
		pass(time.Minute)
		h.settle()
		run.one("run")
		h.start()
		h.wantValue("tasks", "more", "value")
	})
}
