package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// healPause is how long after a healing the same table is not healed again: what broke it may still be there.
const healPause = 24 * time.Hour

// errHealedBefore: the table was healed a short while ago.
var errHealedBefore = errors.New("table was healed before, and is broken again")

// errNotBroken: what was to be healed is not there any more.
var errNotBroken = errors.New("table was reopened or replaced meanwhile")

// heal restores a table whose loss or damage is certain, if the configuration allows it: from the verified candidate with
// the highest position, the table's own files being one. serves tells that it is open, and damaged. It returns at once.
func (t *tree) heal(c *cell, serves bool, cause error) {
	if c := t.config; !c.SelfHeal || c.ReadOnly || c.Visit {
		return
	}
	t.aside("healing", func() {
		report, err := t.healNow(t.runner.ctx, c, serves, cause)
		if err != nil {
			c.logger.Error("table not healed", "error", err, "hint", joinHints(err))
			return
		}
		c.logger.Warn("table healed", "source", report.GetPlan().GetSource(), "backup_id", report.GetPlan().GetBackupId(),
			"lost_from", report.GetRestored().GetLostFrom(), "lost_to", report.GetRestored().GetLostTo())
	})
}

// mayHeal returns an error for a table that was healed within healPause, or is not what was found broken.
func (t *tree) mayHeal(c *cell, serves bool) error {
	if open := c.serving.Load() != nil; open != serves || open && c.suspected().reason == "" {
		return errNotBroken
	}
	now := clock()
	last, err := patient(t.tables.of(c.name), listTimeout, func() (time.Time, error) { return t.directory.Healed(c.name, now) })
	if err != nil {
		return fmt.Errorf("look for an earlier healing: %w", err)
	}
	since := now.Sub(last)
	// One whose flip failed may have left nothing on disk, and one that was dated in the future does not count there: it would
	// be tried again at once. No clock that is set changes how long ago it was in this process.
	if tried := c.healed.Load(); tried != nil {
		since = min(since, time.Since(*tried))
	}
	if since < healPause {
		return messages.WithHint(fmt.Errorf("%w: %v ago", errHealedBefore, since.Round(time.Second)),
			"look at the disk, then restore the table: gabion restore "+c.name)
	}
	return nil
}

func (t *tree) healNow(ctx context.Context, c *cell, serves bool, cause error) (report *messages.RestoreReport, err error) {
	if err := t.mayHeal(c, serves); err != nil {
		return nil, err
	}
	request := &restore{tree: t, healed: true, serves: serves, reason: cause.Error(), started: now()}
	live := !serves && t.ownIsBest(ctx, c)
	// A table at cut has no sums that its own files could be held against.
	if m := c.serving.Load(); serves && m != nil && m.store.Record().GetAccounting() == messages.Accounting_ACCOUNTING_EXACT {
		known, reopen, err := t.closeServing(ctx, c)
		if err != nil {
			return nil, err
		}
		defer func() { reopen(err != nil) }()
		live, request.serves, request.known = true, false, known
	}
	if live {
		request.request = &messages.RestoreTable{Table: c.name, Live: true}
		if report, err = request.do(ctx); err == nil {
			return report, nil
		}
		c.logger.Warn("table not healed from its own files", "error", err)
	}
	request.request = &messages.RestoreTable{Table: c.name}
	report, err = request.do(ctx)
	return report, err
}

// ownIsBest tells whether the table's own files are sound, and not behind its newest backup.
func (t *tree) ownIsBest(ctx context.Context, c *cell) bool {
	lineage, err := patient(t.tables.of(c.name), listTimeout, func() (string, error) { return t.directory.Current(c.name) })
	if err != nil || lineage == "" {
		return false
	}
	own, err := t.examine(ctx, c.name, lineage, true)
	if err == nil {
		var release func()
		if _, release, err = t.mend(ctx, own); err == nil {
			release()
		}
	}
	if err != nil || !own.Proven {
		c.logger.Info("table's own files are no candidate for healing", "error", err)
		return false
	}
	newest, ok, err := t.newestBackup(c.name)
	if err != nil || !ok || newest.Lineage() != lineage {
		return true
	}
	return own.Record.GetPosition().GetSeq() >= newest.Manifest.GetRecord().GetPosition().GetSeq()
}
