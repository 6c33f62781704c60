package actors_test

import (
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestLostAcrossLineages: what a restore takes away is counted from where the histories part, however many restores lie between,
// and whether the table serves or not.
func TestLostAcrossLineages(t *testing.T) {
	for name, c := range map[string]struct {
		then     func(h *host)
		from, to uint64
	}{
		"older than where the lineage branched off": {func(*host) {}, 2, 4},
		"by two restores": {func(h *host) {
			h.restore(&messages.RestoreTable{Table: "tasks", BackupId: "2"})
			h.put("tasks", "e", "v")
		}, 2, 3},
		"closed": {func(h *host) {
			if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
				t.Fatal(err)
			}
		}, 2, 4},
		"quarantined": {func(h *host) {
			path := h.lineage("tasks")
			h.stop()
			// The mark stays, and tells how far the table had come.
			if err := h.fs.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := h.fs.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			h.start()
			h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		}, 1, 4},
		"quarantined, with a backup of its own": {func(h *host) {
			h.backup()
			path := h.lineage("tasks")
			h.stop()
			if err := h.fs.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := h.fs.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			h.start()
			h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		}, 2, 4},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, actors.Config{Keep: 10}, func(h *host) {
				h.put("tasks", "a", "v")
				h.backup()
				h.put("tasks", "b", "v")
				h.backup()
				h.put("tasks", "c", "v")
				h.restore(&messages.RestoreTable{Table: "tasks", BackupId: "2"})
				h.put("tasks", "c", "w")
				h.put("tasks", "d", "v")
				c.then(h)
				r := h.restore(&messages.RestoreTable{Table: "tasks", BackupId: "1"}).GetRestored()
				if r.GetLostFrom() != c.from || r.GetLostTo() != c.to {
					t.Errorf("lost %d to %d, want %d to %d", r.GetLostFrom(), r.GetLostTo(), c.from, c.to)
				}
			})
		})
	}
}

// TestLostByABackupAhead: a backup of the other history, taken since the lineage that serves was left, has what both have.
func TestLostByABackupAhead(t *testing.T) {
	bubble(t, actors.Config{Keep: 10}, func(h *host) {
		h.put("tasks", "a", "v")
		h.put("tasks", "b", "v")
		h.backup()
		h.put("tasks", "c", "v")
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.put("tasks", "x", "v")
		h.put("tasks", "y", "v")
		h.backup()
		h.restore(&messages.RestoreTable{Table: "tasks", Undo: true})
		r := h.restore(&messages.RestoreTable{Table: "tasks", BackupId: "2"}).GetRestored()
		if r.GetLostFrom() != 3 || r.GetLostTo() != 3 {
			t.Errorf("lost %d to %d, want 3 to 3", r.GetLostFrom(), r.GetLostTo())
		}
	})
}
