package actors

import (
	"errors"
	"fmt"
	"slices"
	"sync"
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
	unconfigured, err := t.unconfigured()
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

// concurrentTables is how many tables' own directories are looked at side by side.
const concurrentTables = 64

// onDisk lists the tables on disk, but for those of which no more than undo is left. A table that cannot be looked at is
// listed: opening it says why.
func (t *tree) onDisk() ([]string, error) {
	names, err := t.namesOnDisk()
	return t.serving(names), err
}

// namesOnDisk lists the tables that have a directory.
func (t *tree) namesOnDisk() ([]string, error) {
	return patient(&t.naming, listTimeout, t.directory.Names)
}

// serving returns those of the tables on disk that have more than undo, or that cannot be looked at.
func (t *tree) serving(names []string) []string {
	serves, errs := each(names, &t.tables, listTimeout, t.directory.Serves)
	var left []string
	for i, name := range names {
		if serves[i] || errs[i] != nil {
			left = append(left, name)
		}
	}
	return left
}

// unconfigured lists the tables on disk that are neither configured nor opened since. It touches the files of no other table.
func (t *tree) unconfigured() ([]string, error) {
	names, err := t.namesOnDisk()
	return t.serving(slices.DeleteFunc(names, func(name string) bool {
		_, failure := t.find(name)
		return failure == nil
	})), err
}

// undo lists what is kept though nothing serves it.
func (t *tree) undo() (kept []*messages.Undo, err error) {
	names, err := t.namesOnDisk()
	all, errs := each(names, &t.tables, listTimeout, t.undoOf)
	for _, undo := range all {
		kept = append(kept, undo...)
	}
	return kept, errors.Join(append(errs, err)...)
}

// undoOf reads the disk.
func (t *tree) undoOf(table string) (kept []*messages.Undo, err error) {
	records, err := t.directory.Undo(table)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if r.GetReason() == store.UndoUnfinished {
			continue // a restore is making it, or the next sweep removes it
		}
		bytes, err := t.directory.UndoBytes(table, r.GetLineage())
		if err != nil {
			return kept, err
		}
		kept = append(kept, &messages.Undo{Table: table, Lineage: r.GetLineage(), Reason: r.GetReason(),
			Since: r.GetSince(), Until: r.GetUntil(), Bytes: bytes})
	}
	return kept, nil
}

// sweep removes what is kept as undo no longer. Of sweeps of a table that hang there is one, and the directories stay locked until
// it has ended.
func (t *tree) sweep(limit time.Duration) error {
	if t.config.ReadOnly {
		return nil
	}
	names, err := t.namesOnDisk()
	_, errs := each(names, &t.sweeping, limit, func(table string) (int, error) {
		t.admin.began()
		defer t.admin.ended()
		return t.directory.SweepUndo(table, clock())
	})
	return errors.Join(append(errs, err)...)
}

// each calls work for every name, side by side: one whose disk hangs is given up after the limit, and holds up no other. The
// values and the errors are in the order of the names.
func each[T any](names []string, of *patiences, limit time.Duration, work func(name string) (T, error)) ([]T, []error) {
	values, errs := make([]T, len(names)), make([]error, len(names))
	slots := make(chan struct{}, concurrentTables)
	var wg sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var err error
			if values[i], err = patient(of.of(name), limit, func() (T, error) { return work(name) }); err != nil {
				errs[i] = fmt.Errorf("table %q: %w", name, err)
			}
		})
	}
	wg.Wait()
	return values, errs
}
