package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// undoSuffix ends the name of the file beside a lineage that serves no more and is kept until its life ends.
const undoSuffix = ".undo"

// UndoDropped is the reason of an UndoRecord that Drop writes.
const UndoDropped = "dropped"

// ErrDropped: the table was dropped. It matches ErrMissing.
var ErrDropped = fmt.Errorf("table was dropped: %w", ErrMissing)

// Has tells whether a table has a lineage that serves, or would.
func (d *Directory) Has(table string) (bool, error) {
	if err := messages.CheckTableName(table); err != nil {
		return false, err
	}
	return Exists(d.fs, d.fs.PathJoin(d.tablePath(table), currentFile))
}

// Drop takes a table out of service and keeps its lineage as undo until the given time; of a table whose current is lost
// or damaged, every lineage. Its store must be closed. A crash leaves the table as it was, or dropped. A table of which
// there is nothing is ErrMissing, and durably so.
func (d *Directory) Drop(table string, until time.Time) error {
	if err := d.drop(table, until); err != nil {
		return fmt.Errorf("drop table %q: %w", table, err)
	}
	return nil
}

func (d *Directory) drop(table string, until time.Time) error {
	if err := d.Check(); err != nil {
		return err
	}
	if d.readOnly {
		return fmt.Errorf("directory is open for reading only: %w", messages.ErrInvalid)
	}
	exists, err := Exists(d.fs, d.tablePath(table))
	if err != nil {
		return err
	}
	if !exists {
		return ErrMissing
	}
	lineages, err := d.served(table)
	if err != nil {
		return err
	}
	// The records first: without them, a table without current would be one that lost its current. A crash
	// before current is gone leaves the record of a lineage that serves, which the next open removes.
	for _, lineage := range lineages {
		if err := d.writeUndo(table, lineage, UndoDropped, until); err != nil {
			return err
		}
	}
	err = d.fs.Remove(d.fs.PathJoin(d.tablePath(table), currentFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", currentFile, err)
	}
	// Also where an earlier Drop removed it, and met an error then.
	if err := SyncDir(d.fs, d.tablePath(table)); err != nil {
		return err
	}
	if len(lineages) == 0 {
		return ErrMissing
	}
	return nil
}

// served returns the lineage that current names, or, where it names none, all that are not undo.
func (d *Directory) served(table string) ([]string, error) {
	lineage, err := d.current(table)
	switch {
	case err == nil && lineage != "":
		return []string{lineage}, nil
	case err != nil && !errors.Is(err, messages.ErrDataLoss):
		return nil, err
	}
	all, err := d.Lineages(table)
	if err != nil {
		return nil, err
	}
	var lineages []string
	for _, lineage := range all {
		record, err := d.readUndo(table, lineage)
		if err != nil {
			return nil, err
		}
		if record == nil {
			lineages = append(lineages, lineage)
		}
	}
	return lineages, nil
}

func (d *Directory) undoPath(table, lineage string) string {
	return d.fs.PathJoin(d.tablePath(table), lineage+undoSuffix)
}

// Undo returns the lineages of a table that are kept as undo, oldest first. One whose removal a crash cut short is among
// them until it is swept.
func (d *Directory) Undo(table string) ([]*messages.UndoRecord, error) {
	serving, err := d.current(table)
	if err != nil {
		return nil, err
	}
	return d.undoBeside(table, serving)
}

// undoBeside is Undo of a table that serves a lineage.
func (d *Directory) undoBeside(table, serving string) ([]*messages.UndoRecord, error) {
	names, err := listIfExists(d.fs, d.tablePath(table))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var kept []*messages.UndoRecord
	for _, name := range names {
		lineage, ok := strings.CutSuffix(name, undoSuffix)
		if _, err := ulid.ParseStrict(lineage); !ok || err != nil {
			continue
		}
		record, err := d.readUndo(table, lineage)
		if err != nil {
			return nil, err
		}
		if record != nil && lineage != serving {
			kept = append(kept, record)
		}
	}
	return kept, nil
}

// Healed returns when the table was last healed before now, as far as what is kept as undo tells: zero for never. A healing
// that is dated in the future does not count: it would stand in the way of the next one until then. It needs no current that
// can be read.
func (d *Directory) Healed(table string, now time.Time) (time.Time, error) {
	serving, err := d.current(table)
	if errors.Is(err, messages.ErrDataLoss) {
		// A crash before the flip leaves the record of the healing, but not the lineage that served from then on.
		lineages, err := d.served(table)
		if err != nil || len(lineages) == 0 {
			return time.Time{}, err
		}
	} else if err != nil {
		return time.Time{}, err
	}
	kept, err := d.undoBeside(table, serving)
	if err != nil {
		return time.Time{}, err
	}
	var last time.Time
	for _, record := range kept {
		if at := record.GetSince().AsTime(); record.GetReason() == UndoHealed && at.After(last) && !messages.Ahead(at, now) {
			last = at
		}
	}
	return last, nil
}

// readUndo returns the record of a lineage, nil where there is none.
func (d *Directory) readUndo(table, lineage string) (*messages.UndoRecord, error) {
	path := d.undoPath(table, lineage)
	data, err := disk.ReadFile(d.fs, path, noteLimit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var record messages.UndoRecord
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &record); err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w", path, err, messages.ErrDataLoss)
	}
	if record.GetFormatVersion() > FormatVersion {
		return nil, fmt.Errorf("%s: format version is %d: %w", path, record.GetFormatVersion(), ErrNewer)
	}
	if record.GetTable() != table || record.GetLineage() != lineage {
		return nil, fmt.Errorf("%s is of table %q, lineage %s: %w", path, record.GetTable(), record.GetLineage(), messages.ErrDataLoss)
	}
	return &record, nil
}

// UndoBytes is what a lineage that is kept as undo costs on disk.
func (d *Directory) UndoBytes(table, lineage string) (uint64, error) {
	path := d.fs.PathJoin(d.tablePath(table), lineage)
	names, err := listIfExists(d.fs, path)
	if err != nil {
		return 0, err
	}
	var bytes uint64
	for _, name := range names {
		info, err := d.fs.Stat(d.fs.PathJoin(path, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // a sweep was faster
		}
		if err != nil {
			return 0, fmt.Errorf("stat %s: %w", name, err)
		}
		bytes += uint64(info.Size())
	}
	return bytes, nil
}

// SweepUndo removes the lineages of a table whose life as undo has ended at now, and returns how many; what restores that
// did not come to their end have left is removed too. The lineage that serves is never one of them, nor one that a
// restore is making.
func (d *Directory) SweepUndo(table string, now time.Time) (removed int, err error) {
	if err := d.Check(); err != nil {
		return 0, fmt.Errorf("sweep undo of table %q: %w", table, err)
	}
	if err := d.sweepPending(table); err != nil {
		return 0, fmt.Errorf("sweep undo of table %q: %w", table, err)
	}
	kept, err := d.Undo(table)
	if err != nil {
		return 0, fmt.Errorf("sweep undo of table %q: %w", table, err)
	}
	for _, record := range kept {
		swept, err := d.sweepLineage(table, record.GetLineage(), now)
		if err != nil {
			return removed, fmt.Errorf("sweep undo of table %q: %w", table, err)
		}
		if swept {
			removed++
		}
	}
	if err := d.sweepAsides(table); err != nil {
		return removed, fmt.Errorf("sweep undo of table %q: %w", table, err)
	}
	return removed, nil
}

// sweepLineage removes one lineage if its life as undo has ended. All is looked at under the claim: a Serve that was faster has
// made it the one that serves, and a drop since then has given it a new life.
func (d *Directory) sweepLineage(table, lineage string, now time.Time) (swept bool, err error) {
	release, ok := d.moving.claim(lineage)
	if !ok {
		return false, nil
	}
	defer release()
	if d.making.has(lineage) {
		return false, nil
	}
	serving, err := d.current(table)
	if err != nil || serving == lineage {
		return false, err
	}
	record, err := d.readUndo(table, lineage)
	if err != nil || record == nil {
		return false, err
	}
	// What an unfinished restore left has no life: that nobody is making it is enough.
	if record.GetReason() != UndoUnfinished {
		if ended, err := d.lifeEnded(record, now); err != nil || !ended {
			return false, err
		}
	}
	if all, err := d.removeUndo(record); err != nil || !all {
		return false, err
	}
	d.logger.Info("undo removed: its life has ended", "table", table, "lineage", lineage,
		"reason", record.GetReason(), "since", record.GetSince().AsTime())
	return true, nil
}

// removeLineage removes the directory of a lineage and its mark, and returns whether nothing foreign is left of it.
func (d *Directory) removeLineage(path string) (all bool, err error) {
	if all, err = d.discard(path, InDatabase); err != nil {
		return false, fmt.Errorf("remove %s: %w", path, err)
	}
	if err := d.fs.Remove(path + markSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("remove %s: %w", path+markSuffix, err)
	}
	return all, nil
}

// removeUndo removes a lineage and its record, and returns whether nothing foreign is left. It removes the record last: a crash before leaves a lineage that is still undo, and is swept again.
func (d *Directory) removeUndo(record *messages.UndoRecord) (all bool, err error) {
	if err := d.Check(); err != nil {
		return false, err
	}
	dir := d.tablePath(record.GetTable())
	path := d.fs.PathJoin(dir, record.GetLineage())
	if all, err := d.removeLineage(path); err != nil || !all {
		return false, err // with something foreign in it, the lineage stays one that is undo
	}
	if err := SyncDir(d.fs, dir); err != nil {
		return false, err
	}
	// Another sweep may have been faster.
	if err := d.fs.Remove(path + undoSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("remove %s: %w", path+undoSuffix, err)
	}
	d.lives.forget(record.GetLineage())
	return true, SyncDir(d.fs, dir)
}

// settleUndo removes the record of the lineage that serves: a drop that a crash cut short did not happen.
func (d *Directory) settleUndo(table, lineage string) error {
	path := d.undoPath(table, lineage)
	exists, err := Exists(d.fs, path)
	if err != nil || !exists || d.readOnly {
		return err
	}
	if err := d.fs.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return SyncDir(d.fs, d.tablePath(table))
}

// Serves tells whether a table has more on disk than undo.
func (d *Directory) Serves(table string) (bool, error) {
	if has, err := d.Has(table); err != nil || has {
		return has, err
	}
	lineages, _, err := d.split(table)
	return len(lineages) > 0, err
}

// split tells the lineages of a table that are undo from those that are not.
func (d *Directory) split(table string) (lineages []string, kept []*messages.UndoRecord, err error) {
	if lineages, err = d.Lineages(table); err != nil {
		return nil, nil, err
	}
	kept, err = d.Undo(table)
	return slices.DeleteFunc(lineages, func(lineage string) bool {
		return slices.ContainsFunc(kept, func(r *messages.UndoRecord) bool { return r.GetLineage() == lineage })
	}), kept, err
}
