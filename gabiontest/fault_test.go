package gabiontest_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

const (
	open        = messages.TableState_TABLE_STATE_OPEN
	reopening   = messages.TableState_TABLE_STATE_REOPENING
	quarantined = messages.TableState_TABLE_STATE_QUARANTINED
)

// bubble runs test in a bubble, with the tables tasks and other.
func bubble(t *testing.T, test func(t *testing.T, k *gabiontest.Kit)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, gabiontest.Start(t, "tasks", "other")) })
}

// TestFailWrites: the table alone is unavailable until healed, and opens again by itself.
func TestFailWrites(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		put(t, k, "tasks", "key", "value")
		heal := k.FailWrites("tasks")
		if err := tryPut(k, "tasks", "key", "new"); !errors.Is(err, messages.ErrUnavailable) || !errors.Is(err, messages.ErrOutcomeUnknown) {
			t.Errorf("put = %v", err)
		}
		put(t, k, "other", "key", "value")
		k.WaitState("tasks", reopening, 0)
		time.Sleep(30 * time.Second)
		k.WaitState("tasks", reopening, 0)
		heal()
		heal()
		k.WaitState("tasks", open, 31*time.Second)
		put(t, k, "tasks", "key", "new")
		want(t, k, "tasks", "key", "new")
	})
}

// TestFailWritesForLong quarantines, of all tables when none is named.
func TestFailWritesForLong(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		heal := k.FailWrites()
		before := time.Now()
		for _, table := range []string{"tasks", "other"} {
			if err := tryPut(k, table, "key", "value"); !errors.Is(err, messages.ErrUnavailable) {
				t.Errorf("put to %s = %v", table, err)
			}
		}
		k.WaitState("tasks", quarantined, 10*time.Minute)
		k.WaitState("other", quarantined, 10*time.Minute)
		if passed := time.Since(before); passed < time.Minute || passed > 3*time.Minute {
			t.Errorf("quarantined after %v", passed)
		}
		heal()
		k.Restart()
		k.WaitState("tasks", open, time.Minute)
	})
}

// TestHangSyncs: writes wait, those of other tables and reads of other keys do not, until the table is stalled.
func TestHangSyncs(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		put(t, k, "tasks", "before", "value")
		heal := k.HangSyncs("tasks")
		answer := make(chan error, 1)
		go func() { answer <- tryPut(k, "tasks", "key", "value") }()
		time.Sleep(9 * time.Second)
		put(t, k, "other", "key", "value")
		want(t, k, "tasks", "before", "value")
		select {
		case err := <-answer:
			t.Fatalf("put = %v", err)
		default:
		}
		if err := <-answer; !errors.Is(err, messages.ErrOutcomeUnknown) {
			t.Errorf("put on a disk that hangs = %v", err)
		}
		k.WaitState("tasks", messages.TableState_TABLE_STATE_STALLED, time.Minute)
		want(t, k, "tasks", "before", "value")
		heal()
		k.WaitState("tasks", open, time.Minute)
		want(t, k, "tasks", "key", "value")
	})
}

// TestHangIsHealedByClose: no test is kept from ending.
func TestHangIsHealedByClose(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		k.HangSyncs()
		answer := make(chan error, 1)
		go func() { answer <- tryPut(k, "tasks", "key", "value") }()
		synctest.Wait()
		before := time.Now()
		if err := k.Close(); err != nil || time.Since(before) > time.Second {
			t.Errorf("close = %v after %v", err, time.Since(before))
		}
		if err := <-answer; err != nil {
			t.Error(err)
		}
	})
}

// TestFailBackups: the tables' rows fail, the others' do not, and older backups stay.
func TestFailBackups(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		failed := func() (tables string) {
			t.Helper()
			put(t, k, "tasks", "key", time.Now().String())
			put(t, k, "other", "key", time.Now().String())
			report, err := k.Gabion().BackupAll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range report.GetSet().GetResults() {
				if row.GetFailure() != nil {
					tables += row.GetTable() + " "
				}
			}
			return tables
		}
		if got := failed(); got != "" {
			t.Errorf("failed at first: %q", got)
		}
		heal := k.FailBackups("tasks")
		if got := failed(); got != "tasks " {
			t.Errorf("failed: %q, want tasks", got)
		}
		heal()
		heal = k.FailBackups()
		if got := failed(); got != "other tasks " {
			t.Errorf("failed: %q, want both", got)
		}
		k.WaitState("tasks", open, 0)
		heal()
		if got := failed(); got != "" {
			t.Errorf("failed once healed: %q", got)
		}
		list, err := k.Gabion().ListBackups(t.Context(), "tasks")
		if err != nil || len(list.GetBackups()) != 2 {
			t.Errorf("tasks has %d backups, want 2: %v", len(list.GetBackups()), err)
		}
	})
}

// TestFillDisk: no table takes a write until there is space, and the reason says so.
func TestFillDisk(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		put(t, k, "tasks", "key", "value")
		empty := k.FillDisk()
		for _, table := range []string{"tasks", "other"} {
			if err := tryPut(k, table, "key", "new"); !errors.Is(err, messages.ErrUnavailable) && !errors.Is(err, messages.ErrExhausted) {
				t.Errorf("put to %s = %v", table, err)
			}
		}
		full := func(e *messages.TableStateChanged) bool { return e.GetTo() == messages.TableState_TABLE_STATE_FULL }
		changed := gabiontest.Wait(k, time.Second, full)
		if !strings.Contains(changed.GetReason(), syscall.ENOSPC.Error()) && !strings.Contains(changed.GetReason(), "must stay free") {
			t.Errorf("reason = %q", changed.GetReason())
		}
		time.Sleep(time.Hour)
		k.WaitState("tasks", messages.TableState_TABLE_STATE_FULL, time.Minute)
		want(t, k, "tasks", "key", "value")
		if err := tryPut(k, "tasks", "key", "new"); !errors.Is(err, messages.ErrExhausted) {
			t.Errorf("put to a full table = %v", err)
		}
		empty()
		k.WaitState("tasks", open, time.Minute)
		put(t, k, "tasks", "key", "new")
	})
}

// TestFault: the calls that match fail with the error given, from the first after it to the last before heal.
func TestFault(t *testing.T) {
	bubble(t, func(t *testing.T, k *gabiontest.Kit) {
		mine := errors.New("mine")
		var seen []gabiontest.Op
		synctest.Wait() // what Start does beside is done: the calls are this test's
		heal := k.Fault(func(op gabiontest.Op) bool {
			seen = append(seen, op)
			return op.Kind == gabiontest.OpOpen
		}, mine)
		if _, err := k.FS().OpenDir("/gabion"); !errors.Is(err, mine) || !strings.Contains(err.Error(), "/gabion") {
			t.Errorf("open = %v", err)
		}
		if names, err := k.FS().List("/gabion"); err != nil || len(names) == 0 {
			t.Errorf("list = %v, %v", names, err)
		}
		heal()
		if _, err := k.FS().OpenDir("/gabion"); err != nil {
			t.Error(err)
		}
		if want := []gabiontest.Op{{Kind: gabiontest.OpOpen, Path: "/gabion"}, {Kind: gabiontest.OpList, Path: "/gabion"}}; len(seen) != 2 || seen[0] != want[0] || seen[1] != want[1] {
			t.Errorf("seen %v, want %v", seen, want)
		}
	})
}

// TestFaultsSpareLiveSstables: Pebble would try to write one again without a pause, and a bubble's time would stop.
func TestFaultsSpareLiveSstables(t *testing.T) {
	for what, fault := range map[string]func(*gabiontest.Disk){
		"FailWrites": func(d *gabiontest.Disk) { d.FailWrites("tasks") },
		"FillDisk":   func(d *gabiontest.Disk) { d.FillDisk() },
		"Crash":      (*gabiontest.Disk).Crash,
	} {
		disk := gabiontest.NewDisk()
		fs := disk.FS()
		if err := fs.MkdirAll("/gabion/tables/tasks", 0o755); err != nil {
			t.Fatal(err)
		}
		fault(disk)
		for name, spared := range map[string]bool{"000001.sst": true, "000002.log": false, "MANIFEST-000003": false} {
			file, err := fs.Create("/gabion/tables/tasks/"+name, vfs.WriteCategoryUnspecified)
			if err == nil {
				err = errors.Join(file.Sync(), file.Close())
			}
			if (err == nil) != spared {
				t.Errorf("%s: writing %s = %v", what, name, err)
			}
		}
	}
}
