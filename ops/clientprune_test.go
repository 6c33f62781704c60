package ops

import (
	"errors"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

func TestClientPrunesAndPins(t *testing.T) {
	_, c := serving(t)
	ctx := t.Context()
	report, err := c.Backup(ctx, &messages.BackupAll{Tables: []string{"fruit"}})
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := c.PinBackup(ctx, &messages.PinBackup{Table: "fruit", BackupId: "1", Reason: "audit"})
	if err != nil || pinned.GetPinned() != "audit" || pinned.GetBackupId() != report.GetSet().GetResults()[0].GetBackupId() {
		t.Errorf("pin: %v, %v", pinned, err)
	}
	if _, err := c.PinBackup(ctx, &messages.PinBackup{Table: "fruit", BackupId: "9"}); !errors.Is(err, messages.ErrNotFound) {
		t.Errorf("pin of no backup: %v", err)
	}
	pruned, err := c.PruneBackups(ctx, &messages.PruneBackups{Tables: []string{"fruit"}, DryRun: true})
	if err != nil || !pruned.GetDryRun() || len(pruned.GetDecisions()) != 1 || !pruned.GetDecisions()[0].GetKeep() {
		t.Errorf("prune: %v, %v", pruned, err)
	}
	if _, err := c.PruneBackups(ctx, &messages.PruneBackups{Tables: []string{"other"}}); !errors.Is(err, messages.ErrNotFound) {
		t.Errorf("prune of no backups: %v", err)
	}
}
