package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestDropUnconfiguredTable: a table that is listed can be dropped, with a last backup, also one that nobody has opened.
func TestDropUnconfiguredTable(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old", "older"}}, func(h *host) {
		h.put("old", "k", "v")
		h.put("older", "k", "v")
		h.stop()
		h.config.Tables = []string{"tasks"}
		h.start()
		if got := h.names(); got != "tasks old* older*" {
			t.Fatalf("tables = %s", got)
		}
		heal := h.fs.fail(under(backups, "create", "mkdir"))
		wantText(t, failureOf(0, h.g.DropTable(h.Context(), "old")).Error(), "last backup before the drop")
		heal()
		if got := h.names(); got != "old tasks older*" {
			t.Fatalf("after a drop that failed tables = %s", got)
		}
		if state := h.info("old").GetState(); state != messages.TableState_TABLE_STATE_CLOSED {
			t.Errorf("after a drop that failed the table is %v", state)
		}
		if err := h.g.DropTable(h.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		if err := h.g.Drop(h.Context(), drop("older")); err != nil {
			t.Fatal(err)
		}
		if got := h.names(); got != "tasks" {
			t.Errorf("tables = %s", got)
		}
		list, err := h.g.ListBackups(h.Context())
		if err != nil || len(list.GetBackups()) != 1 || list.GetBackups()[0].GetTable() != "old" || list.GetBackups()[0].GetPinned() != "before drop" {
			t.Errorf("backups = %v, %v", list.GetBackups(), err)
		}
		wantCode(t, "drop of no table", h.g.DropTable(h.Context(), "absent"), messages.Code_CODE_NOT_FOUND)
		if err := h.g.DropTable(h.Context(), "../x"); !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("drop of no name = %v", err)
		}
	})
}

// TestDropTable: the last backup holds the last write, is pinned, and the data is kept until its life ends.
func TestDropTable(t *testing.T) {
	config := actors.Config{Tables: []string{"tasks", "old"}, Keep: 1, UndoLife: 24 * time.Hour}
	bubble(t, config, func(h *host) {
		h.put("old", "k", "v")
		old := h.g.Table("old")
		if err := h.g.DropTable(h.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		if got := h.names(); got != "tasks" {
			t.Errorf("tables = %s", got)
		}
		_, err := old.Get(h.Context(), []byte("k"))
		wantCode(t, "get of a dropped table", err, messages.Code_CODE_NOT_FOUND)
		wantCode(t, "second drop", h.g.DropTable(h.Context(), "old"), messages.Code_CODE_NOT_FOUND)
		wantCode(t, "create of a dropped table", h.g.CreateTable(h.Context(), "old", false), messages.Code_CODE_FAILED_PRECONDITION)
		list, err := h.g.ListBackups(h.Context(), "old")
		if err != nil || len(list.GetBackups()) != 1 || list.GetBackups()[0].GetCount() != 1 || list.GetBackups()[0].GetPinned() != "before drop" {
			t.Fatalf("backups = %v, %v", list.GetBackups(), err)
		}
		last := list.GetBackups()[0].GetBackupId()
		undo := func() []*messages.Undo {
			t.Helper()
			health, err := h.g.Health(h.Context())
			if err != nil || len(health.GetUnconfigured()) > 0 {
				t.Fatalf("unconfigured = %v, %v", health.GetUnconfigured(), err)
			}
			return health.GetUndo()
		}
		if u := undo(); len(u) != 1 || u[0].GetTable() != "old" || u[0].GetReason() != "dropped" || u[0].GetBytes() == 0 ||
			u[0].GetUntil().AsTime().Sub(u[0].GetSince().AsTime()) != 24*time.Hour {
			t.Fatalf("undo = %v", u)
		}
		// It does not come back by itself, though the configuration names it.
		h.stop()
		h.start()
		h.wantState("old", quarantined)
		wantText(t, h.info("old").GetReason(), "dropped")
		wantText(t, h.info("old").GetHint(), "leave it out of the configuration")
		h.stop()
		h.config.Tables = []string{"tasks"}
		h.start()
		if got := h.names(); got != "tasks" {
			t.Errorf("tables = %s", got)
		}
		if err := h.g.CreateTable(h.Context(), "old", true); err != nil {
			t.Fatal(err)
		}
		if len(undo()) != 1 {
			t.Error("creating it anew took the undo away")
		}
		// Retention of the new table, too, keeps what the undo may need, and the pin.
		for i := range 3 {
			h.put("old", "k", fmt.Sprint(i))
			h.backup("old")
		}
		list, err = h.g.ListBackups(h.Context(), "old")
		if err != nil || len(list.GetBackups()) != 2 || list.GetBackups()[1].GetBackupId() != last {
			t.Errorf("backups = %v, %v", list.GetBackups(), err)
		}
		pass(25 * time.Hour)
		h.backup("tasks")
		if u := undo(); len(u) != 0 {
			t.Errorf("undo after its life = %v", u)
		}
		h.wantValue("old", "k", "2")
	})
}

// TestDroppedTableIsForgotten once its undo is gone: nobody is told of a table that there is not.
func TestDroppedTableIsForgotten(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}, UndoLife: time.Hour}, func(h *host) {
		h.put("old", "k", "v")
		if err := h.g.Drop(h.Context(), &messages.DropTable{Table: "old", WithoutBackup: true}); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Hour)
		h.config.Tables = []string{"tasks"}
		for _, when := range []string{"before a start", "after a start"} {
			h.backup("tasks") // which sweeps
			health, err := h.g.Health(h.Context())
			if err != nil || len(health.GetUndo()) > 0 || len(health.GetUnconfigured()) > 0 {
				t.Errorf("%s: undo %v, unconfigured %v, %v", when, health.GetUndo(), health.GetUnconfigured(), err)
			}
			if got := h.names(); got != "tasks" {
				t.Errorf("%s: tables = %s", when, got)
			}
			h.stop()
			h.start()
		}
		if err := h.g.CreateTable(h.Context(), "old", false); err != nil {
			t.Errorf("create: %v", err)
		}
		h.wantValue("old", "k", "")
	})
}

// TestDroppedTableIsNotMissing: a reader of the stopped directory is not told that a table is missing which was dropped.
func TestDroppedTableIsNotMissing(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}}, func(h *host) {
		h.put("old", "k", "v")
		if err := h.g.DropTable(h.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		h.stop()
		h.config.ReadOnly, h.config.Tables = true, nil
		h.start()
		if got := h.names(); got != "tasks" {
			t.Errorf("tables = %s", got)
		}
		detail, err := h.g.ShowBackup(h.Context(), "old", "1")
		if err != nil || detail.GetBackup().GetPinned() == "" || detail.GetManifest().GetRecord().GetCount() != 1 ||
			detail.GetPath() != dir+"/backups/old/"+detail.GetBackup().GetBackupId() || len(detail.GetManifestSha256()) != 64 {
			t.Errorf("last backup: %v, %v", detail, err)
		}
		_, err = h.g.ShowBackup(h.Context(), "old", "2")
		wantCode(t, "no such backup", err, messages.Code_CODE_NOT_FOUND)
		h.stop()
		if err := h.fs.FS.RemoveAll(dir + "/tables/old"); err != nil {
			t.Fatal(err)
		}
		h.start()
		if got := h.names(); got != "old tasks" {
			t.Errorf("tables without the undo = %s", got)
		}
	})
}

// TestDropTableBesideWrites: from the first moment writes are refused, reads go on, and what was acknowledged is in the backup.
func TestDropTableBesideWrites(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		release := h.fs.hang(h.T, under(backups+"/tasks", "create"))
		drop := async(func() (string, error) { return "", h.g.DropTable(h.Context(), "tasks") })
		h.settle()
		drop.pending(h, "drop")
		write := h.send(h.pid("tasks"), put("late", "v"))
		again := h.send(h.g.Supervisor(), &messages.DropTable{Table: "tasks"})
		h.settle()
		write.failure("put", messages.Code_CODE_UNAVAILABLE)
		again.failure("second drop", messages.Code_CODE_UNAVAILABLE)
		h.wantValue("tasks", "k", "v")
		release()
		h.settle()
		drop.want(h, "drop", "")
	})
}

// TestDropTableWithoutItsBackup: a table whose last backup fails stays and serves; it can be dropped without one.
func TestDropTableWithoutItsBackup(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		for what, match := range map[string]func(fileOp) bool{
			"backup": under(backups+"/tasks", "create"),
			"pin":    under(backups+"/tasks/pins", "create", "mkdir"),
		} {
			repair := h.fs.fail(match)
			err := h.g.DropTable(h.Context(), "tasks")
			if err == nil || !strings.Contains(err.Error(), "last backup") || !strings.Contains(hints(err), "the table was not dropped; without_backup drops it all the same") {
				t.Errorf("drop without its %s = %v", what, err)
			}
			h.put("tasks", what, "v") // it serves, and takes writes
			repair()
		}
		defer h.fs.fail(under(backups+"/tasks", "create"))()
		s := h.send(h.g.Supervisor(), &messages.DropTable{Table: "tasks", WithoutBackup: true})
		h.settle()
		if _, ok := s.one("drop").(*messages.TableList); !ok {
			t.Errorf("drop without a backup was answered %v", s.answers())
		}
		if got := h.names(); got != "" {
			t.Errorf("tables = %s", got)
		}
	})
}

// TestDropTableThatFails is served again.
func TestDropTableThatFails(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		repair := h.fs.fail(under(dir+"/tables/tasks/current", "remove"))
		if err := h.g.DropTable(h.Context(), "tasks"); !errors.Is(err, messages.ErrUnavailable) || !strings.Contains(err.Error(), errInjected.Error()) {
			t.Errorf("drop = %v", err)
		}
		repair()
		h.wantState("tasks", open)
		h.wantValue("tasks", "k", "v")
		h.put("tasks", "k", "w")
		if health, err := h.g.Health(h.Context()); err != nil || len(health.GetUndo()) != 0 {
			t.Errorf("undo of a table that serves = %v, %v", health.GetUndo(), err)
		}
	})
}
