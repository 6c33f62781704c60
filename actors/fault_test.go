package actors_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const (
	open        = messages.TableState_TABLE_STATE_OPEN
	full        = messages.TableState_TABLE_STATE_FULL
	opening     = messages.TableState_TABLE_STATE_OPENING
	reopening   = messages.TableState_TABLE_STATE_REOPENING
	quarantined = messages.TableState_TABLE_STATE_QUARANTINED
	closed      = messages.TableState_TABLE_STATE_CLOSED
)

// TestFailedFsync: a WAL whose fsync fails freezes the store. What was applied gets UNAVAILABLE with outcome_unknown,
// what waited gets it without, and the table is back after the first back-off with all that was acknowledged.
func TestFailedFsync(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		seen := h.events()
		for i := range 50 {
			h.put("tasks", fmt.Sprint(i), "kept")
		}
		before := h.info("tasks").GetPosition()
		gate := make(chan struct{})
		repair := h.fs.on(walSync("tasks"), func(fileOp) error { <-gate; return errInjected })
		// One group hangs in its fsync, 64 queue behind it, one waits for its place; the last writes are pending.
		var applied, pending []*sender
		for i := range 66 {
			applied = append(applied, h.send(h.pid("tasks"), put("0", fmt.Sprint(i))))
			h.settle()
		}
		read := h.send(h.pid("tasks"), get("0"))
		for range 10 {
			pending = append(pending, h.send(h.pid("tasks"), put("1", "pending")), h.send(h.pid("tasks"), &messages.Scan{}))
		}
		h.settle()
		repair()
		close(gate)
		h.settle()
		for _, s := range applied {
			f := s.failure("applied put", messages.Code_CODE_UNAVAILABLE)
			if !f.GetOutcomeUnknown() || !errors.Is(f, messages.ErrOutcomeUnknown) || f.GetHint() == "" || f.GetRetryAfter() == nil {
				t.Fatalf("applied put = %v, want outcome_unknown, a hint and retry_after", f)
			}
		}
		for _, s := range append(pending, read) {
			if f := s.failure("pending request", messages.Code_CODE_UNAVAILABLE); f.GetOutcomeUnknown() || f.GetRetryAfter() == nil {
				t.Errorf("pending request = %v, want a known outcome and retry_after", f)
			}
		}
		h.wantState("tasks", reopening)
		h.put("other", "key", "value")
		pass(121 * time.Millisecond) // 100 ms, give or take a fifth
		h.settle()
		h.wantState("tasks", open)
		after := h.info("tasks").GetPosition()
		if after.GetSeq() < before.GetSeq() || after.GetSeq() > before.GetSeq()+66 || after.GetLineage() != before.GetLineage() {
			t.Errorf("position went from %v to %v", before, after)
		}
		for i := 1; i < 50; i++ {
			h.wantValue("tasks", fmt.Sprint(i), "kept")
		}
		h.put("tasks", "1", "again")
		if n := h.health("tasks").GetRestarts(); n != 1 {
			t.Errorf("restarts = %d, want 1", n)
		}
		var states []messages.TableState
		for _, e := range eventsOf[*messages.TableStateChanged](seen) {
			if e.GetTable() != "tasks" || e.GetAt() == nil {
				t.Errorf("event = %v", e)
			}
			states = append(states, e.GetFrom(), e.GetTo())
			if e.GetTo() == reopening {
				wantText(t, e.GetReason(), "injected fault")
			}
		}
		if fmt.Sprint(states) != fmt.Sprint([]messages.TableState{open, reopening, reopening, open}) {
			t.Errorf("states = %v", states)
		}
	})
}

// TestBackOff: a store that does not open is tried again after 100 ms, then twice as long each time, capped and jittered,
// and past the budget the table is quarantined, untouched, with the reason.
func TestBackOff(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "key", "value")
		h.settle() // Start sweeps undo beside
		var tries []time.Time
		// The first file that an open reads.
		repair := h.fs.on(under(dir+"/tables/tasks/current", "open"), func(fileOp) error {
			tries = append(tries, time.Now())
			return errInjected
		})
		broken := time.Now()
		fail := h.fs.fail(walSync("tasks"))
		h.send(h.pid("tasks"), put("key", "new"))
		h.settle()
		fail()
		pass(5 * time.Minute)
		h.settle()
		if len(tries) != 10 {
			t.Fatalf("%d tries, want 10", len(tries))
		}
		last, exact := broken, 0
		for i, at := range tries {
			wait, want := at.Sub(last), min(100*time.Millisecond<<i, 30*time.Second)
			if wait < want*8/10 || wait > want*12/10 {
				t.Errorf("try %d came after %v, want %v give or take a fifth", i, wait, want)
			}
			if wait == want {
				exact++
			}
			last = at
		}
		if exact == len(tries) {
			t.Error("the waits are not jittered")
		}
		h.wantState("tasks", quarantined)
		wantText(t, h.info("tasks").GetReason(), "11 failures", "injected fault")
		h.put("other", "key", "value")

		files := h.tree(dir + "/tables/tasks")
		for range 3 {
			if err := h.g.OpenTable(h.Context(), "tasks"); err == nil {
				t.Error("OpenTable of a quarantined table succeeded")
			} else {
				wantText(t, err.Error(), "quarantined", "injected fault")
			}
		}
		if got := h.tree(dir + "/tables/tasks"); fmt.Sprint(got) != fmt.Sprint(files) {
			t.Errorf("the directory of a quarantined table changed from %q to %q", files, got)
		}
		// The way back: close it, open it.
		repair()
		if err := errors.Join(h.g.CloseTable(h.Context(), "tasks"), h.g.OpenTable(h.Context(), "tasks")); err != nil {
			t.Fatal(err)
		}
		if _, err := h.g.Table("tasks").Get(h.Context(), []byte("key")); err != nil {
			t.Error(err)
		}
	})
}

// TestFaultsAcrossTime: a table that fails now and then is never quarantined.
func TestFaultsAcrossTime(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for range 40 {
			fail := h.fs.fail(walSync("tasks"))
			s := h.send(h.pid("tasks"), put("key", "value"))
			h.settle()
			fail()
			s.failure("put", messages.Code_CODE_UNAVAILABLE)
			pass(2 * time.Minute)
			h.put("tasks", "key", "value")
		}
		if n := h.health("tasks").GetRestarts(); n != 40 {
			t.Errorf("restarts = %d, want 40", n)
		}
	})
}

// TestFaultOfOneWriteMeetsOneStore: the store that is opened after a fault is not closed for that same fault again.
func TestFaultOfOneWriteMeetsOneStore(t *testing.T) {
	for _, kind := range []string{"sync", "write", "create"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, actors.Config{MemTableBytes: 256 << 10}, func(h *host) {
				fail := h.fs.fail(func(o fileOp) bool {
					return o.kind == kind && walSync("tasks")(fileOp{"sync", o.path})
				})
				var all []*sender
				for i := range 40 {
					all = append(all, h.send(h.pid("tasks"), put(fmt.Sprint(i), string(make([]byte, 32<<10)))))
					h.settle()
				}
				fail()
				for _, s := range all {
					s.one("put")
				}
				if n := h.health("tasks").GetRestarts(); n != 1 {
					t.Errorf("restarts = %d, want 1", n)
				}
				pass(time.Second)
				h.settle()
				h.put("tasks", "key", "value")
				if n := h.health("tasks").GetRestarts(); n != 1 {
					t.Errorf("restarts = %d, want 1", n)
				}
			})
		})
	}
}

// TestOpenDoesNotWaitForBackupDisk: a hung backup directory keeps no table from opening.
func TestOpenDoesNotWaitForBackupDisk(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		release := h.fs.hang(h.T, under(backups, "list", "stat", "open"))
		opened := async(func() (string, error) { return "", h.g.OpenTable(h.Context(), "tasks") })
		pass(15 * time.Second)
		h.settle()
		opened.want(h, "open table", "")
		release()
		h.settle()
		h.wantValue("tasks", "key", "value")
	})
}

// TestStartBesideFailingBackupDisk: backups that cannot be looked at keep no table from being served, and are there once
// the disk is mended.
func TestStartBesideFailingBackupDisk(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		h.backup()
		h.stop()
		for _, path := range []string{backups + "/tasks", backups + "/sets"} {
			repair := h.fs.fail(under(path, "list", "stat", "open"))
			h.start()
			h.wantValue("tasks", "key", "value")
			repair()
			if n := h.health("tasks").GetBackups(); n != 1 {
				t.Errorf("%s failed at the start: health names %d backups, want 1", path, n)
			}
			h.stop()
		}
		h.start()
	})
}
