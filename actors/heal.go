package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// healPause is how long after a healing the same table is not healed again: what broke it may still be there.
const healPause = 24 * time.Hour

// errHealedBefore: the table was healed a short while ago.
var errHealedBefore = errors.New("table was healed before, and is broken again")

// heal restores a table whose loss or damage is certain, if the configuration allows it: from the verified candidate with
// the highest position, the table's own files being one. It returns at once.
func (t *tree) heal(c *cell, cause error) {
	if c := t.config; !c.SelfHeal || c.ReadOnly || c.Visit {
		return
	}
	t.admin.start(func() {
		report, err := t.healNow(t.runner.ctx, c, cause)
		if err != nil {
			c.logger.Error("table not healed", "error", err, "hint", joinHints(err))
			return
		}
		c.logger.Warn("table healed", "source", report.GetPlan().GetSource(), "backup_id", report.GetPlan().GetBackupId(),
			"lost_from", report.GetRestored().GetLostFrom(), "lost_to", report.GetRestored().GetLostTo())
	})
}

func (t *tree) healNow(ctx context.Context, c *cell, cause error) (*messages.RestoreReport, error) {
	kept, err := patient(&t.tables, listTimeout, func() ([]*messages.UndoRecord, error) { return t.directory.Undo(c.name) })
	if err != nil {
		return nil, fmt.Errorf("look for an earlier healing: %w", err)
	}
	for _, record := range kept {
		if since := time.Since(record.GetSince().AsTime()); record.GetReason() == store.UndoHealed && since < healPause {
			return nil, messages.WithHint(fmt.Errorf("%w: %v ago", errHealedBefore, since.Round(time.Second)),
				"look at the disk, then restore the table: gabion restore "+c.name)
		}
	}
	r := &restore{tree: t, healed: true, reason: cause.Error(), started: now(), request: &messages.RestoreTable{Table: c.name}}
	if live := t.ownIsBest(ctx, c); live {
		r.request.Live = true
		report, err := r.do(ctx)
		if err == nil {
			return report, nil
		}
		c.logger.Warn("table not healed from its own files", "error", err)
		r.request = &messages.RestoreTable{Table: c.name}
	}
	return r.do(ctx)
}

// ownIsBest tells whether the table's own files are sound, and not behind its newest backup.
func (t *tree) ownIsBest(ctx context.Context, c *cell) bool {
	if c.serving.Load() != nil {
		return false // it is what is damaged
	}
	lineage, err := patient(&t.tables, listTimeout, func() (string, error) { return t.directory.Current(c.name) })
	if err != nil || lineage == "" {
		return false
	}
	own, err := t.readOwn(ctx, c.name, lineage, true)
	if err != nil {
		c.logger.Info("table's own files are no candidate for healing", "error", err)
		return false
	}
	newest, ok, err := t.newestBackup(c.name)
	if err != nil || !ok || newest.Lineage() != lineage {
		return true
	}
	return own.GetPosition().GetSeq() >= newest.Manifest.GetRecord().GetPosition().GetSeq()
}
