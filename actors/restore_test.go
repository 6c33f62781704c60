package actors_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// restore restores and wants no error.
func (h *host) restore(m *messages.RestoreTable) *messages.RestoreReport {
	h.Helper()
	report, err := h.g.Restore(h.Context(), m)
	if err != nil {
		h.Fatalf("restore: %v, hint %q", err, messages.Hints(err))
	}
	return report
}

func TestRestore(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		seen := h.events()
		pid := h.pid("tasks")
		h.put("tasks", "a", "1")
		h.put("tasks", "b", "1")
		h.backup("tasks")
		h.put("tasks", "a", "2")
		h.put("tasks", "c", "2")
		before := h.g.Table("tasks")

		plan := h.restore(&messages.RestoreTable{Table: "tasks", DryRun: true})
		if p := plan.GetPlan(); p.GetRows() != 2 || p.GetPosition().GetSeq() != 2 || p.GetServing().GetSeq() != 4 || p.GetBytes() == 0 {
			t.Errorf("plan %v", p)
		}
		h.wantValue("tasks", "a", "2")

		report := h.restore(&messages.RestoreTable{Table: "tasks"})
		r := report.GetRestored()
		if r.GetLostFrom() != 3 || r.GetLostTo() != 4 || r.GetPosition().GetSeq() != 2 || r.GetParent().GetSeq() != 2 ||
			r.GetPosition().GetLineage() == r.GetParent().GetLineage() || r.GetUndoLineage() != r.GetParent().GetLineage() {
			t.Errorf("restored %v", r)
		}
		if got := h.pid("tasks"); !got.Equal(pid) {
			t.Errorf("PID was %v, is %v", pid, got)
		}
		h.wantValue("tasks", "a", "1")
		h.wantValue("tasks", "b", "1")
		h.wantValue("tasks", "c", "")
		if _, err := before.Put(h.Context(), []byte("d"), []byte("3")); err != nil {
			t.Fatal(err)
		}
		h.wantValue("tasks", "d", "3")
		if restored, verified := eventsOf[*messages.TableRestored](seen), eventsOf[*messages.BackupVerified](seen); len(restored) != 1 || len(verified) != 1 {
			t.Errorf("events %v, %v", restored, verified)
		}

		// What the restore has taken away comes back, and what came since goes.
		undone := h.restore(&messages.RestoreTable{Table: "tasks", Undo: true})
		if undone.GetRestored().GetPosition().GetSeq() != 4 || undone.GetRestored().GetLostFrom() != 3 || undone.GetRestored().GetLostTo() != 3 {
			t.Errorf("undone %v", undone.GetRestored())
		}
		h.wantValue("tasks", "a", "2")
		h.wantValue("tasks", "c", "2")
		h.wantValue("tasks", "d", "")
		again := h.restore(&messages.RestoreTable{Table: "tasks", Undo: true}).GetRestored()
		if again.GetPosition().GetSeq() != 3 || again.GetLostFrom() != 3 || again.GetLostTo() != 4 {
			t.Errorf("undone again %v", again)
		}
		h.wantValue("tasks", "d", "3")
		h.restore(&messages.RestoreTable{Table: "tasks", Undo: true})

		h.stop()
		h.start()
		h.wantValue("tasks", "a", "2")
		h.put("tasks", "e", "5")
	})
}

// TestRestoreRefuses: what cannot be restored is said, and changes nothing.
func TestRestoreRefuses(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "a", "1")
		for what, c := range map[string]struct {
			m    *messages.RestoreTable
			code messages.Code
		}{
			"no backup":     {&messages.RestoreTable{Table: "tasks"}, messages.Code_CODE_NOT_FOUND},
			"nothing undid": {&messages.RestoreTable{Table: "tasks", Undo: true}, messages.Code_CODE_NOT_FOUND},
			"serves":        {&messages.RestoreTable{Table: "tasks", Live: true}, messages.Code_CODE_FAILED_PRECONDITION},
			"no such":       {&messages.RestoreTable{Table: "tasks", BackupId: "7"}, messages.Code_CODE_NOT_FOUND},
			"two sources":   {&messages.RestoreTable{Table: "tasks", BackupId: "7", Undo: true}, messages.Code_CODE_INVALID_ARGUMENT},
			"bad name":      {&messages.RestoreTable{Table: "../x"}, messages.Code_CODE_INVALID_ARGUMENT},
			"too early":     {&messages.RestoreTable{Table: "tasks", At: timestamppb.New(time.Now().Add(-time.Hour))}, messages.Code_CODE_NOT_FOUND},
			"unknown":       {&messages.RestoreTable{Table: "nosuch"}, messages.Code_CODE_NOT_FOUND},
		} {
			_, err := h.g.Restore(h.Context(), c.m)
			wantCode(t, what, err, c.code)
			if len(messages.Hints(err)) == 0 {
				t.Errorf("%s: %v has no hint", what, err)
			}
		}
		h.wantValue("tasks", "a", "1")
	})
}

// TestRestoreDropped: a table that was dropped comes back, from its undo or from its last backup, and one whose directory is
// lost from its backup.
func TestRestoreDropped(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}}, func(h *host) {
		h.put("old", "a", "1")
		for _, m := range []*messages.RestoreTable{{Table: "old", Undo: true}, {Table: "old"}} {
			if err := h.g.DropTable(h.Context(), "old"); err != nil {
				t.Fatal(err)
			}
			if _, err := h.g.Table("old").Get(h.Context(), []byte("a")); err == nil {
				t.Error("a dropped table serves")
			}
			h.restore(m)
			h.wantValue("old", "a", "1")
		}
		h.stop()
		if err := h.fs.RemoveAll(dir + "/tables/old"); err != nil {
			t.Fatal(err)
		}
		h.start()
		if _, err := h.g.Table("old").Get(h.Context(), []byte("a")); !errors.Is(err, messages.ErrUnavailable) {
			t.Fatal(err)
		}
		h.restore(&messages.RestoreTable{Table: "old"})
		h.wantValue("old", "a", "1")
	})
}
