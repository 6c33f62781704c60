package actors

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// newTree opens the directories and makes what the actors share. On an error nothing stays held.
func newTree(system *actor.ActorSystem, config Config) (_ *tree, err error) {
	t := &tree{
		config:    config,
		system:    system,
		publisher: newPublisher(config.Logger),
		outbox:    newOutbox(system),
		repliers:  newRepliers(system, config.Name),
		opening:   make(chan struct{}, concurrentOpens),
		proving:   make(chan struct{}, 1),
		tracer:    config.tracer(),
		started:   time.Now(),
		stopped:   make(chan struct{}),
	}
	t.graves.system, t.graves.out = system, t.outbox
	id, last, made, err := config.takenOver()
	if err != nil {
		return nil, err
	}
	t.directory, err = store.OpenDirectory(store.DirectoryOptions{
		FS: config.FS, Path: config.Dir, StoreID: id, TakenOver: last, ReadOnly: config.ReadOnly, Logger: config.Logger,
		CacheBytes: config.CacheBytes, MemTableBytes: config.MemTableBytes, FreezeAfter: config.FreezeAfter,
	})
	if err != nil {
		return nil, hinted(err)
	}
	t.backups = newDepot(config, t.directory)
	defer func() {
		if err != nil {
			err = errors.Join(err, t.release())
		}
	}()
	if !config.ReadOnly {
		if err := t.probeDirectory(); err != nil {
			return nil, err
		}
	}
	_, err = within(newestTimeout, func() (*backup.Directory, error) {
		backups, err := t.backups.get()
		if err == nil && !config.ReadOnly {
			t.warnExposed(backups.Path())
		}
		return backups, err
	})
	if err != nil && (made || config.Visit && errors.Is(t.backups.cause(), store.ErrHeld)) {
		// A start that fails here stops no table that is served; or the holder of the backups is soon gone.
		return nil, hinted(cmp.Or(t.backups.cause(), err))
	}
	t.space = space{fs: config.FS, path: t.directory.Path(), reserve: config.MinFreeBytes, logger: config.Logger}
	names, err := t.choose(config.Tables)
	if err != nil {
		return nil, err
	}
	if err := t.directory.CheckDescriptors(len(names)); err != nil {
		return nil, err
	}
	for _, name := range names {
		c := newCell(t, name)
		t.members.add(&member{cell: c, mailbox: newMailbox(c.outbox, name)})
	}
	t.events = newEventLog(t)
	newest, err := within(newestTimeout, t.backups.NewestRun)
	if err != nil {
		// A backup disk that fails keeps no table from opening.
		config.Logger.Warn("sets cannot be listed: should the clock have gone back, the next run is not ordered after the last", "error", err)
	}
	t.runner = newRunner(t, newest)
	t.scheduler = newScheduler(t)
	t.drill = newDrill(t)
	t.historian = newHistorian(t)
	t.coordinator = newMailbox(t.outbox, coordinatorName)
	return t, nil
}

// choose returns the tables to serve: those named, and with ServeFound those that the directory has. A read-only Gabion
// can only serve what the directory or the backups know. A table that the backups alone know is missing, and is shown,
// unless it was dropped.
func (t *tree) choose(tables []string) ([]string, error) {
	names := slices.Sorted(slices.Values(tables))
	if !t.config.ReadOnly && !t.config.ServeFound {
		return names, nil
	}
	onDisk, err := t.onDisk()
	if err != nil {
		return nil, err
	}
	if !t.config.ReadOnly {
		if names = slices.Compact(slices.Sorted(slices.Values(append(names, onDisk...)))); len(names) == 0 {
			return nil, messages.WithHint(fmt.Errorf("no tables are named, and %s has none: %w", t.directory.Path(), messages.ErrInvalid),
				"name those to make: tables in the configuration, or --tables A,B")
		}
		return names, nil
	}
	backedUp, err := within(newestTimeout, t.backups.Tables)
	if err != nil {
		t.config.Logger.Warn("backups cannot be listed: tables that they alone know are not shown", "error", err)
	}
	backedUp = slices.DeleteFunc(backedUp, func(table string) bool {
		// A table whose undo cannot be read is shown: opening it says why.
		if slices.Contains(onDisk, table) {
			return false
		}
		undo, err := patient(t.tables.of(table), listTimeout, func() ([]*messages.UndoRecord, error) { return t.directory.Undo(table) })
		return err == nil && len(undo) > 0
	})
	known := slices.Compact(slices.Sorted(slices.Values(append(onDisk, backedUp...))))
	if len(names) == 0 {
		return known, nil
	}
	var unknown []error
	for _, name := range names {
		if !slices.Contains(known, name) {
			unknown = append(unknown, messages.WithHint(fmt.Errorf("table %q: %w", name, messages.ErrNotFound),
				"the directory has the tables "+strings.Join(known, ", ")))
		}
	}
	return names, errors.Join(unknown...)
}
