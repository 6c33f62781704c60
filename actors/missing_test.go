package actors_test

import (
	"errors"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestMissingTableDirectory: a table that has backups but no directory is an unmounted disk, not an empty table. It is
// quarantined with what to do, and the others serve.
func TestMissingTableDirectory(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "key", "value")
		h.put("other", "key", "value")
		first := h.backup()
		h.stop()
		if err := h.fs.FS.RemoveAll(dir + "/tables/tasks"); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second start meets what the first one left
			h.start()
			h.wantState("tasks", quarantined)
			info := h.info("tasks")
			wantText(t, info.GetReason(), "missing")
			wantText(t, info.GetHint(), "restore it", "create it empty")
			if f := h.send(h.pid("tasks"), get("key")); true {
				h.settle()
				wantText(t, f.failure("get", messages.Code_CODE_UNAVAILABLE).GetHint(), "restore it", "create it empty")
			}
			if err := h.g.OpenTable(h.Context(), "tasks"); !errors.Is(err, messages.ErrUnavailable) || len(messages.Hints(err)) == 0 {
				t.Errorf("OpenTable of a missing table = %v", err)
			}
			h.wantValue("other", "key", "value")
			got := h.backup()
			h.wantRow(got["tasks"], failed, "missing")
			h.wantRow(got["other"], carried)
			if row := h.health("tasks"); row.GetBackups() != 1 || row.GetState() != quarantined || row.GetCount() != 0 {
				t.Errorf("health = %v", row)
			}
			if ok, _ := h.exists(dir + "/tables/tasks"); ok {
				t.Error("the missing directory was made")
			}
			h.stop()
		}
		h.config.CreateEmpty = true
		h.start()
		h.wantState("tasks", open)
		h.wantValue("tasks", "key", "")
		h.put("tasks", "key", "new")
		got := h.backup()
		h.wantRow(got["tasks"], backedUp)
		if got["tasks"].GetPosition().GetLineage() == first["tasks"].GetPosition().GetLineage() {
			t.Error("the new table has the lineage of the old one")
		}
		// The old lineage's backup is all that is left of it.
		if ok, _ := h.exists(backups + "/tasks/" + first["tasks"].GetBackupId()); !ok {
			t.Error("the lost table's backup is gone")
		}
	})
}

// TestMissingDirectory: an empty DIR whose backup directory is another store's is an error; nothing is made.
func TestMissingDirectory(t *testing.T) {
	h := newHost(t, actors.Config{BackupDir: "/b"})
	h.put("tasks", "key", "value")
	h.backup()
	h.stop()
	if err := h.fs.FS.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := refused(t, h.fs.FS, h.config, "/b", "empty")
	if !errors.Is(err, store.ErrForeign) {
		t.Errorf("start = %v", err)
	}
	h.config.CreateEmpty = true
	h.start()
	h.put("tasks", "key", "new")
	if row := h.backup()["tasks"]; row.GetOutcome() != backedUp {
		t.Errorf("row = %v", row)
	}
	h.stop()
	h.config.CreateEmpty = false
	h.start()
	h.wantValue("tasks", "key", "new")
}

// TestDamagedCurrentIsQuarantined, and what lies there is not touched.
func TestDamagedCurrentIsQuarantined(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "key", "value")
		h.stop()
		if err := h.fs.FS.Remove(dir + "/tables/tasks/current"); err != nil {
			t.Fatal(err)
		}
		before := h.tree(dir + "/tables/tasks")
		h.start()
		h.wantState("tasks", quarantined)
		if len(h.info("tasks").GetHint()) == 0 {
			t.Error("no hint")
		}
		h.put("other", "key", "value")
		h.stop()
		if after := h.tree(dir + "/tables/tasks"); len(after) != len(before) {
			t.Errorf("the directory changed from %q to %q", before, after)
		}
	})
}

// TestReadOnly serves reads alone and changes nothing.
func TestReadOnly(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "key", "value")
		h.backup()
		h.stop()
		before := h.tree("/")
		h.config.ReadOnly, h.config.Tables = true, nil
		h.start()
		h.wantValue("tasks", "key", "value")
		h.wantState("other", open)
		if _, err := h.g.Table("tasks").Put(h.Context(), []byte("key"), nil); messages.FailureOf(err).GetCode() != messages.Code_CODE_PERMISSION_DENIED || len(messages.Hints(err)) == 0 {
			t.Errorf("put = %v", err)
		}
		if _, err := h.g.BackupAll(h.Context()); err == nil {
			t.Error("a run of a directory open for reading only succeeded")
		}
		if row := h.health("tasks"); row.GetCount() != 1 || row.GetBackups() != 1 {
			t.Errorf("health = %v", row)
		}
		h.stop()
		if after := h.tree("/"); len(after) != len(before) {
			t.Errorf("the disk changed from %q to %q", before, after)
		}
	})
}
