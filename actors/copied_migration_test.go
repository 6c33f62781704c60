package actors_test

import (
	"context"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestMigrationWithoutBackupDirectory: a table that must be backed up before it is migrated waits for a person, after one try.
func TestMigrationWithoutBackupDirectory(t *testing.T) {
	bubble(t, actors.Config{BackupDir: shared}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		h.stop()
		if err := h.fs.FS.Rename(shared, "/unmounted"); err != nil {
			t.Fatal(err)
		}
		tries := 0
		h.config.Schemas = map[string]actors.Schema{"tasks": {Version: 1, Migrate: func(context.Context, *actors.Migration, uint64, uint64) error {
			tries++
			return nil
		}}}
		h.start()
		pass(time.Hour)
		h.settle()
		h.wantState("tasks", quarantined)
		runs := 0
		for event, err := range h.g.Events(h.Context(), &messages.ListEvents{}) {
			if err != nil {
				t.Fatal(err)
			}
			if event.GetBackupStarted() != nil {
				runs++
			}
		}
		if runs != 2 { // of h.backup, and one try
			t.Errorf("%d runs", runs)
		}
		h.adopt()
		if err := h.g.RetryTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		h.wantValue("tasks", "k", "v")
		if tries != 1 {
			t.Errorf("migrated %d times", tries)
		}
	})
}
