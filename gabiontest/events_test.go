package gabiontest_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

// TestWait: each Wait of a type returns a later event than the one before, from the start of the Kit on.
func TestWait(t *testing.T) {
	k := gabiontest.Start(t, "tasks", "other")
	var runs []string
	for range 3 {
		report, err := k.Gabion().BackupAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, report.GetSet().GetRunId())
	}
	var waited []string
	for range 2 {
		waited = append(waited, gabiontest.Wait[*messages.BackupComplete](k, 10*time.Second).GetRunId())
	}
	if !slices.Equal(waited, runs[:2]) {
		t.Errorf("waited for the runs %q, want %q", waited, runs[:2])
	}
	last := gabiontest.Wait(k, 10*time.Second, func(e *messages.BackupStarted) bool { return e.GetRunId() == runs[2] })
	if last.GetRunId() != runs[2] {
		t.Errorf("waited for %q, want %q", last.GetRunId(), runs[2])
	}
	first := gabiontest.Wait[proto.Message](k, 10*time.Second)
	if changed, ok := first.(*messages.TableStateChanged); !ok || changed.GetTo() != open {
		t.Errorf("the first event is %v, want that a table opened", first)
	}
}

// TestWaitComesFirst: an event that comes after the Wait began is returned, in a bubble and outside.
func TestWaitComesFirst(t *testing.T) {
	waits := func(t *testing.T, k *gabiontest.Kit) {
		backedUp := make(chan error, 1)
		begun := make(chan struct{})
		go func() {
			<-begun
			_, err := k.Gabion().BackupAll(t.Context())
			backedUp <- err
		}()
		event := gabiontest.Wait(k, 10*time.Second, func(e proto.Message) bool {
			if len(begun) == 0 {
				select {
				case <-begun:
				default:
					close(begun)
				}
			}
			_, complete := e.(*messages.BackupComplete)
			return complete
		})
		if err := <-backedUp; err != nil || len(event.(*messages.BackupComplete).GetBackedUp()) != 2 {
			t.Errorf("%v, %v", event, err)
		}
	}
	t.Run("outside", func(t *testing.T) { waits(t, gabiontest.Start(t, "tasks", "other")) })
	t.Run("bubble", func(t *testing.T) { bubble(t, waits) })
}

// TestWaitState waits for what is the case now, not for what was.
func TestWaitState(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		k.WaitState("tasks", open, 0)
		if err := k.Gabion().CloseTable(t.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour)
			if err := k.Gabion().OpenTable(t.Context(), "tasks"); err != nil {
				t.Error(err)
			}
		}()
		before := time.Now()
		k.WaitState("tasks", open, 2*time.Hour)
		if passed := time.Since(before); passed != time.Hour {
			t.Errorf("waited %v, want an hour", passed)
		}
		synctest.Wait()
	})
}

// TestMonth: the events of scheduled runs carry the bubble's time, and a month of them is soon over.
func TestMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := gabiontest.StartConfig(t, actors.Config{Tables: []string{"tasks"}, Interval: 24 * time.Hour})
		last := time.Now()
		for day := range 30 {
			put(t, k, "tasks", "key", time.Now().String())
			event := gabiontest.Wait[*messages.BackupComplete](k, 24*time.Hour+time.Minute)
			at := event.GetStarted().AsTime()
			if passed := at.Sub(last); len(event.GetBackedUp()) != 1 || day > 0 && (passed < 24*time.Hour || passed > 24*time.Hour+time.Minute) {
				t.Errorf("day %d: %v later: %v", day, passed, event)
			}
			last = at
		}
	})
}

// TestOpenMeansServing: a table that failed and still shows as open is not waited for in vain, nor too briefly.
func TestOpenMeansServing(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		for i := range 50 {
			heal := k.FailWrites("tasks")
			if err := tryPut(k, "tasks", "key", "lost"); err == nil {
				t.Fatal("put to a disk that fails")
			}
			heal()
			k.WaitState("tasks", open, time.Minute)
			if err := tryPut(k, "tasks", "key", "value"); err != nil {
				t.Fatalf("round %d: put to an open table: %v", i, err)
			}
			time.Sleep(2 * time.Minute) // faults that lie further apart are never too many
		}
	})
}
