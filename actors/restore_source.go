package actors

import (
	"context"
	"fmt"
	"time"

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
	record, err := t.readOwn(ctx, table, last.GetLineage(), false)
	if err != nil {
		return messages.WithHint(fmt.Errorf("read what is kept as undo: %w", err), "restore a backup; gabion backups lists them")
	}
	s.describe(record, last.GetSince().AsTime())
	return nil
}

// planLive looks whether the table's own files are sound: their record must be what a full scan finds.
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
	record, err := t.readOwn(ctx, table, lineage, true)
	if err != nil {
		return messages.WithHint(fmt.Errorf("read the table's own files: %w", err), "restore a backup; gabion backups lists them")
	}
	bytes, err := patient(t.tables.of(table), listTimeout, func() (uint64, error) { return t.directory.UndoBytes(table, lineage) })
	if err != nil {
		return err
	}
	s.plan.Bytes = int64(bytes)
	s.describe(record, time.Unix(0, record.GetCommitted()))
	return nil
}

// readOwn reads the record of a lineage that nobody serves, for reading alone. With scan it reads every block and row too,
// and returns an error that matches messages.ErrDataLoss where they are not what the record says; of a table at_cut the
// record is labelled with what they are.
func (t *tree) readOwn(ctx context.Context, table, lineage string, scan bool) (*messages.TableRecord, error) {
	return watched(ctx, t.config.CopyTimeout, "read of the table's files", func(ctx context.Context, progress func()) (*messages.TableRecord, error) {
		return t.directory.ReadLineage(table, lineage, scan, func() error {
			progress()
			return context.Cause(ctx)
		})
	})
}
