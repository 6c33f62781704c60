package actors_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestUndoKeepsItsBackup: the newest backup of a lineage that lies in the table's directory, though another one serves, is never
// removed.
func TestUndoKeepsItsBackup(t *testing.T) {
	bubble(t, actors.Config{Keep: 1}, func(h *host) {
		h.put("tasks", "key", "old")
		first := h.backup()["tasks"]
		h.stop()
		table, aside := dir+"/tables/tasks", "/aside"
		if err := h.fs.FS.Rename(table, aside); err != nil {
			t.Fatal(err)
		}
		h.config.CreateEmpty = true
		h.start()
		h.put("tasks", "key", "new")
		h.stop()
		lineage := first.GetPosition().GetLineage()
		if err := h.fs.FS.Rename(aside+"/"+lineage, table+"/"+lineage); err != nil {
			t.Fatal(err)
		}
		h.start()
		var last *messages.TableResult
		for i := range 3 {
			h.put("tasks", "key", fmt.Sprint(i))
			last = h.backup()["tasks"]
			h.wantRow(last, backedUp)
		}
		names, err := h.fs.List(backups + "/tasks")
		if err != nil {
			t.Fatal(err)
		}
		left := strings.Join(names, " ")
		wantText(t, left, first.GetBackupId(), last.GetBackupId())
		if strings.Count(left, "_") != 2 {
			t.Errorf("%s are left, want the old lineage's and the newest", left)
		}
	})
}

// TestMissingTableBesideUnreadableBackups: whether backups know the table cannot be told, so it is not made empty.
func TestMissingTableBesideUnreadableBackups(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.stop()
		h.config.Tables = append(h.config.Tables, "fresh")
		repair := h.fs.fail(under(backups+"/fresh", "list"))
		h.start()
		h.wantState("tasks", open)
		h.wantState("fresh", quarantined)
		wantText(t, h.info("fresh").GetReason(), "missing")
		if ok, err := store.Exists(h.fs, dir+"/tables/fresh"); ok || err != nil {
			t.Errorf("the table's directory was made: %v, %v", ok, err)
		}
		repair()
		if err := h.g.CloseTable(h.Context(), "fresh"); err != nil {
			t.Fatal(err)
		}
		if err := h.g.OpenTable(h.Context(), "fresh"); err != nil {
			t.Errorf("open table once backups can be listed = %v", err)
		}
	})
}

// TestCutThatWaitsAtStop: a cut that waits for a fsync that hangs is answered when the time to stop is over.
func TestCutThatWaitsAtStop(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		release := h.fs.hang(h.T, walSync("tasks"))
		h.send(h.pid("tasks"), put("key", "value"))
		h.settle()
		cut := h.send(h.pid("tasks"), &messages.Cut{RunId: ulid.Make().String(), Have: h.info("tasks").GetPosition()})
		h.settle()
		cut.none("cut")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := h.g.Stop(ctx); err == nil {
			t.Error("stop of a disk that hangs succeeded")
		}
		h.settle()
		cut.failure("cut", messages.Code_CODE_UNAVAILABLE)
		release()
	})
}

// TestPanicFreezes: after a panic of the committer the store is closed as a crash would leave it, so that the next open looks
// before it serves.
func TestPanicFreezes(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		remove := h.fs.on(under(dir+"/staging", "mkdir"), func(fileOp) error { panic("cut") })
		cut := h.send(h.pid("tasks"), &messages.Cut{RunId: ulid.Make().String()})
		var looks atomic.Int64
		h.fs.on(under(dir+"/tables/tasks", "open"), func(o fileOp) error {
			if strings.Contains(o.path, "/MANIFEST-") {
				looks.Add(1)
			}
			return nil
		})
		pass(time.Second)
		h.settle()
		remove()
		cut.failure("cut", messages.Code_CODE_INTERNAL)
		if n := looks.Load(); n != 4 {
			t.Errorf("the MANIFEST was read %d times, want by itself, by two looks and by the open", n)
		}
		h.wantValue("tasks", "key", "value")
	})
}

// TestRunsAreOrdered, also when the clock went back since the last one.
func TestRunsAreOrdered(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		h.backup()
		list, err := h.g.ListBackups(h.Context())
		if err != nil {
			t.Fatal(err)
		}
		set := list.GetSets()[0].GetRunId()
		data, err := store.ReadFile(h.fs, backups+"/sets/"+set+".json")
		if err != nil {
			t.Fatal(err)
		}
		h.stop()
		later := ulid.MustNew(ulid.Timestamp(time.Now().Add(365*24*time.Hour)), ulid.DefaultEntropy()).String()
		if err := store.WriteDurably(h.fs, backups+"/sets/"+later+".json", []byte(strings.ReplaceAll(string(data), set, later))); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.put("tasks", "key", "again")
		for range 5 {
			report, err := h.g.BackupAll(h.Context())
			if err != nil {
				t.Fatal(err)
			}
			health, err := h.g.Health(h.Context())
			if err != nil || health.GetLastRun().GetRunId() != report.GetSet().GetRunId() {
				t.Errorf("the last run is %s, %v, want %s", health.GetLastRun().GetRunId(), err, report.GetSet().GetRunId())
			}
		}
	})
}
