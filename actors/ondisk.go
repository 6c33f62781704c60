package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// listTables lists the tables that are known, and those on disk that nobody has asked for.
func (t *tree) listTables() *messages.TableList {
	list := &messages.TableList{}
	for _, m := range t.members.shown() {
		list.Tables = append(list.Tables, m.info())
	}
	unconfigured, err := patient(&t.tables, listTimeout, t.unconfigured)
	if err != nil {
		list.Faults = append(list.Faults, messages.FailureOf(fmt.Errorf("list tables on disk: %w", err)))
	}
	for _, name := range unconfigured {
		list.Tables = append(list.Tables, &messages.TableInfo{
			Table: name, State: messages.TableState_TABLE_STATE_CLOSED, Unconfigured: true,
			Reason: "not configured", Hint: "name it in the configuration, or open it with OpenTable or gabion tables open"})
	}
	return list
}

// unconfigured reads the disk and lists the tables on disk that are neither configured nor opened since.
func (t *tree) unconfigured() ([]string, error) {
	onDisk, err := t.directory.Tables()
	var names []string
	for _, name := range onDisk {
		if _, failure := t.find(name); failure != nil {
			names = append(names, name)
		}
	}
	return names, err
}

// undo reads the disk and lists what is kept though nothing serves it.
func (t *tree) undo() (kept []*messages.Undo, err error) {
	err = t.eachOnDisk(func(table string) error {
		records, err := t.directory.Undo(table)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.GetReason() == store.UndoUnfinished {
				continue // a restore is making it, or the next sweep removes it
			}
			bytes, err := t.directory.UndoBytes(table, r.GetLineage())
			if err != nil {
				return err
			}
			kept = append(kept, &messages.Undo{Table: table, Lineage: r.GetLineage(), Reason: r.GetReason(),
				Since: r.GetSince(), Until: r.GetUntil(), Bytes: bytes})
		}
		return nil
	})
	return kept, err
}

// sweepUndo removes what is kept no longer.
func (t *tree) sweepUndo() (removed int, err error) {
	if t.config.ReadOnly {
		return 0, nil
	}
	err = t.eachOnDisk(func(table string) error {
		n, err := t.directory.SweepUndo(table, clock())
		removed += n
		return err
	})
	return removed, err
}

// sweep is sweepUndo, bounded. Of sweeps that hang there is one, and the directories stay locked until it has ended.
func (t *tree) sweep(limit time.Duration) error {
	_, err := patient(&t.sweeping, limit, func() (int, error) {
		t.admin.began()
		defer t.admin.ended()
		return t.sweepUndo()
	})
	return err
}

// eachOnDisk calls work for every table that has a directory, and joins the errors.
func (t *tree) eachOnDisk(work func(table string) error) error {
	names, err := t.directory.Names()
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, work(name))
	}
	return errors.Join(errs...)
}
