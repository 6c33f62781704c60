package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/messages"
)

// create makes an empty table and returns its lineage. The record is durable before current names the
// lineage; a crash in between leaves an unfinished creation, which sweepUnfinished removes.
func (d *Directory) create(table string, schemaVersion uint64) (string, error) {
	lineage := ulid.Make().String()
	path := d.fs.PathJoin(d.tablePath(table), lineage)
	if err := MkdirDurably(d.fs, d.tablePath(table)); err != nil {
		return "", err
	}
	if err := MkdirDurably(d.fs, path); err != nil {
		return "", err
	}
	now := time.Now().UnixNano()
	record := &messages.TableRecord{
		FormatVersion: FormatVersion,
		Table:         table,
		Position:      &messages.Position{Lineage: lineage},
		Accounting:    messages.Accounting_ACCOUNTING_EXACT,
		SchemaVersion: schemaVersion,
		Created:       now,
		Committed:     now,
	}
	if err := d.writeFirstRecord(table, path, record); err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	if err := d.writeMark(path, lineage, 0); err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	if err := WriteDurably(d.fs, d.fs.PathJoin(d.tablePath(table), currentFile), []byte(lineage+"\n")); err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	d.logger.Info("table created", "table", table, "lineage", lineage)
	return lineage, nil
}

func (d *Directory) writeFirstRecord(table, path string, record *messages.TableRecord) error {
	frozen := newFreezer(d.fs, path, d.freezeAfter, nil)
	db, err := d.openPebble(path, frozen, frozen, d.logger.With("table", table), func(o *pebble.Options) {
		o.ErrorIfExists = true
	})
	if err != nil {
		return err
	}
	err = writeRecord(db, record)
	if err := errors.Join(err, closeDB(db)); err != nil {
		return err
	}
	if frozen.frozen.Load() {
		return fmt.Errorf("%w: %w", ErrFrozen, frozen.why())
	}
	return nil
}

// writeRecord writes a record durably into a database that nobody serves.
func writeRecord(db *pebble.DB, record *messages.TableRecord) error {
	data, err := marshalRecord(nil, record)
	if err != nil {
		return err
	}
	batch := db.NewBatch()
	if err := batch.Set(recordKey, data, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		return err
	}
	return errors.Join(batch.SyncWait(), batch.Close())
}

// writeMark writes the clean mark of a lineage that nobody has opened yet.
func (d *Directory) writeMark(path, lineage string, seq uint64) error {
	m, err := openMark(d.fs, path+markSuffix, markValue{lineage: lineage}, d.logger)
	if err != nil {
		return err
	}
	return errors.Join(m.stamp(seq, true), m.close())
}

// sweepUnfinished removes the lineages of a table without current that are no undo, if all of them are unfinished
// creations: nothing was ever acknowledged in them. Anything else is data that lost its current. dropped tells
// whether there is undo.
func (d *Directory) sweepUnfinished(table string) (dropped bool, err error) {
	lineages, kept, err := d.split(table)
	if err != nil {
		return false, err
	}
	// What a restore left that did not come to its end was never served.
	dropped = slices.ContainsFunc(kept, func(r *messages.UndoRecord) bool { return r.GetReason() != UndoUnfinished })
	return dropped, d.sweepLineages(table, lineages)
}

func (d *Directory) sweepLineages(table string, lineages []string) error {
	for _, lineage := range lineages {
		if err := d.provesUnfinished(table, lineage); err != nil {
			return messages.WithHint(fmt.Errorf("table has no %s file, but lineage %s holds data: %w: %w",
				currentFile, lineage, err, messages.ErrDataLoss),
				fmt.Sprintf("restore the table, or write %q into tables/%s/%s", lineage, table, currentFile))
		}
	}
	if d.readOnly {
		return nil
	}
	for _, lineage := range lineages {
		path := d.fs.PathJoin(d.tablePath(table), lineage)
		if _, err := d.removeLineage(path); err != nil {
			return fmt.Errorf("remove unfinished creation: %w", err)
		}
		d.logger.Info("unfinished creation removed", "table", table, "lineage", lineage)
	}
	if len(lineages) == 0 {
		return nil
	}
	return SyncDir(d.fs, d.tablePath(table))
}

// provesUnfinished returns nil only for a lineage in which nothing can have been committed: its record says
// seq 0, or it has neither record nor sstable nor WAL.
func (d *Directory) provesUnfinished(table, lineage string) error {
	path := d.fs.PathJoin(d.tablePath(table), lineage)
	if v, ok, err := readMark(d.fs, path+markSuffix); err != nil {
		return err
	} else if ok && v.seq > 0 {
		return fmt.Errorf("its mark is at seq %d", v.seq)
	}
	db, err := d.openPebble(path, d.fs, nil, d.logger.With("table", table), func(o *pebble.Options) {
		o.ReadOnly = true
		o.ErrorIfNotExists = true
	})
	if err == nil {
		record, err := readRecord(db)
		if err := errors.Join(err, closeDB(db)); err == nil && record.GetPosition().GetSeq() > 0 {
			return fmt.Errorf("its record is at seq %d", record.GetPosition().GetSeq())
		} else if err == nil {
			return nil
		}
	}
	names, err := d.fs.List(path)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	slices.Sort(names) // the same error every time
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
			return fmt.Errorf("it has %s", name)
		}
		if strings.HasSuffix(name, ".log") {
			stat, err := d.fs.Stat(d.fs.PathJoin(path, name))
			if err != nil {
				return err
			}
			// A first record is far smaller than this; real data is not told from it by less.
			if stat.Size() > 512 {
				return fmt.Errorf("its WAL %s has %d B", name, stat.Size())
			}
		}
	}
	return nil
}
