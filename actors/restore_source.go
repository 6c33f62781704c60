package actors

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// planUndo finds what was put out of service last.
func (r *restore) planUndo(ctx context.Context, s *source) error {
	t, table := r.tree, r.request.GetTable()
	kept, err := patient(t.tables.of(table), listTimeout, func() ([]*messages.UndoRecord, error) { return t.directory.Undo(table) })
	if err != nil {
		return err
	}
	var last *messages.UndoRecord
	for _, record := range kept {
		if record.GetReason() == store.UndoUnfinished {
			continue
		}
		if last == nil || !record.GetSince().AsTime().Before(last.GetSince().AsTime()) {
			last = record
		}
	}
	if last == nil {
		return messages.Failf(messages.Code_CODE_NOT_FOUND, "there is nothing to undo").Of(table).
			Advise("restore a backup; gabion backups lists them")
	}
	s.lineage = last.GetLineage()
	left, err := t.examine(ctx, table, s.lineage, false)
	if err == nil && !left.Whole() {
		left, err = t.examine(ctx, table, s.lineage, true)
	}
	if err != nil {
		return messages.WithHint(fmt.Errorf("read what is kept as undo: %w", err), "restore a backup; gabion backups lists them")
	}
	if left.Whole() {
		s.describe(left.Record, last.GetSince().AsTime()) // it is put back as it is
		return nil
	}
	return r.planRemains(ctx, s, left, last.GetSince().AsTime())
}

// planLive finds what can be read of the table's own files.
func (r *restore) planLive(ctx context.Context, s *source) error {
	t, table := r.tree, r.request.GetTable()
	if m := t.members.find(table); m != nil && m.serving.Load() != nil {
		return messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "table serves: there is nothing to restore from its own files").Of(table).
			Advise("name a backup, or leave the source out for the newest")
	}
	lineage, err := patient(t.tables.of(table), listTimeout, func() (string, error) { return t.directory.Current(table) })
	if err != nil {
		return err
	}
	if lineage == "" {
		return messages.Failf(messages.Code_CODE_NOT_FOUND, "table has no files of its own").Of(table).Advise("restore a backup")
	}
	s.lineage = lineage
	left, err := t.examine(ctx, table, lineage, true)
	if err != nil {
		return messages.WithHint(fmt.Errorf("read the table's own files: %w", err), "restore a backup; gabion backups lists them")
	}
	return r.planRemains(ctx, s, left, time.Unix(0, left.Record.GetCommitted()))
}

// planRemains takes what is left of a lineage, mended by a backup where one can. What is healed is proven.
func (r *restore) planRemains(ctx context.Context, s *source, left *store.Remains, at time.Time) error {
	t, table := r.tree, r.request.GetTable()
	left.Know(r.known)
	by, release, err := t.mend(ctx, left)
	if err != nil {
		return err
	}
	s.release, s.plan.MendedBy = release, by
	if r.healed && !left.Proven {
		return fmt.Errorf("the table's own files are not what their record says: %w", messages.ErrDataLoss)
	}
	bytes, err := patient(t.tables.of(table), listTimeout, func() (uint64, error) { return t.directory.UndoBytes(table, s.lineage) })
	if err != nil {
		return err
	}
	s.plan.Bytes = int64(bytes)
	s.leave(left, at)
	// What is known of the lineage now tells what is missing.
	reached := max(left.Reached, t.newestSeq(table, s.lineage))
	if serving := s.plan.GetServing(); r.request.GetLive() && reached > serving.GetSeq() {
		s.plan.Serving = &messages.Position{Lineage: s.lineage, Seq: reached}
	}
	return nil
}

// mostNamed is how many damaged files, and ranges of keys, a plan names.
const mostNamed = 100

// leave makes the remains what the source holds.
func (s *source) leave(left *store.Remains, at time.Time) {
	s.remains = left
	s.describe(left.Record, at)
	p := s.plan
	p.Rows, p.Unproven = left.Sums.Count, !left.Proven
	p.Damage = left.Damage[:min(len(left.Damage), mostNamed)]
	if left.Proven {
		return // what was damaged is mended
	}
	p.RowsMissing = left.Missing()
	p.DamagedRanges = uint32(len(left.Holes))
	for _, h := range left.Holes[:min(len(left.Holes), mostNamed)] {
		p.Damaged = append(p.Damaged, &messages.DamagedRange{Start: h.Start, End: h.End, File: h.File})
	}
}

// newestSeq is the highest seq of a lineage that its backups hold, as far as that is known.
func (t *tree) newestSeq(table, lineage string) (seq uint64) {
	backups, err := patient(&t.listing, listTimeout, func() ([]backup.Backup, error) { return t.backups.List(table) })
	if err != nil {
		return 0
	}
	for _, b := range backups {
		if at := b.Manifest.GetRecord().GetPosition(); b.Fault == nil && !b.OtherCopy && at.GetLineage() == lineage {
			seq = max(seq, at.GetSeq())
		}
	}
	return seq
}

// examine looks at what can be read of a lineage that nobody serves. With count every block and row is read.
func (t *tree) examine(ctx context.Context, table, lineage string, count bool) (*store.Remains, error) {
	return watched(ctx, t.config.CopyTimeout, "read of the table's files", func(ctx context.Context, progress func()) (*store.Remains, error) {
		return t.directory.Examine(table, lineage, count, telling(ctx, progress))
	})
}

// examineBackup looks at what can be read of a backup.
func (t *tree) examineBackup(ctx context.Context, b backup.Backup) (*store.Remains, error) {
	return watched(ctx, t.config.CopyTimeout, "read of the backup", func(ctx context.Context, progress func()) (*store.Remains, error) {
		return t.backups.Remains(b, telling(ctx, progress))
	})
}

// mend fills the holes of a table's remains from a backup, where one has all that is missing there. It returns that backup, "" for
// none, and what releases it.
func (t *tree) mend(ctx context.Context, left *store.Remains) (by string, release func(), err error) {
	type mended struct {
		by      string
		release func()
	}
	m := mended{release: func() {}}
	if len(left.Holes) > 0 && !left.Proven {
		m, err = watched(ctx, t.config.CopyTimeout, "read of the backups", func(ctx context.Context, progress func()) (mended, error) {
			by, release, err := t.backups.Mend(left, telling(ctx, progress))
			if err == nil && ctx.Err() != nil { // nobody waits for it any more
				release()
				return mended{}, context.Cause(ctx)
			}
			return mended{by, release}, err
		})
	}
	if ctx.Err() != nil {
		return "", nil, context.Cause(ctx)
	}
	if err != nil {
		t.config.Logger.Warn("damaged table is not mended from a backup", "table", left.Record.GetTable(), "error", err)
		return "", func() {}, nil
	}
	return m.by, sync.OnceFunc(m.release), nil
}

// telling is a progress that ends with ctx.
func telling(ctx context.Context, progress func()) func() error {
	return func() error {
		progress()
		return context.Cause(ctx)
	}
}

// closeDamaged closes a table that serves damaged files and is to be restored from them: what it would write meanwhile would be
// lost. reopen opens it again after a failure. It does nothing for every other restore.
func (r *restore) closeDamaged(ctx context.Context) (reopen func(failed bool), err error) {
	t, table := r.tree, r.request.GetTable()
	nothing := func(bool) {}
	m := t.members.find(table)
	if r.healed || !r.request.GetLive() || m == nil || t.config.ReadOnly {
		return nothing, nil
	}
	serving := m.serving.Load()
	if serving == nil {
		return nothing, nil
	}
	if m.suspected().reason == "" {
		// Nobody may have read what is damaged yet.
		if err := t.checkLive(ctx, serving, func(int64) {}); err == nil || !isDamage(err) {
			return nothing, err // which is refused, since it serves
		}
	}
	if r.request.GetDryRun() {
		return nil, messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "table serves: a dry run does not close it").Of(table).
			Advise("close it first, with gabion tables close, or restore without a dry run")
	}
	r.known, reopen, err = t.closeServing(ctx, m.cell)
	return reopen, err
}

// closeServing closes a table that serves damaged files, and returns its record, which the files may not give any more. reopen opens
// it again after a failure.
func (t *tree) closeServing(ctx context.Context, c *cell) (known *messages.TableRecord, reopen func(failed bool), err error) {
	serving := c.serving.Load()
	if serving == nil {
		return nil, nil, errNotBroken
	}
	if err := c.ask(ctx, closeCommand); err != nil {
		return nil, nil, err
	}
	c.logger.Info("damaged table is closed, to be restored from its own files")
	return serving.store.Record(), func(failed bool) {
		if !failed {
			return
		}
		if err := c.ask(context.Background(), openCommand); err != nil {
			c.logger.Warn("table is not opened again after a restore that failed", "error", err)
		}
	}, nil
}
