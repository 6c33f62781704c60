package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// concurrentOpens is how many tables open at once.
	concurrentOpens = 8
	// newestTimeout is how long an open waits for the backup directory before it goes on without.
	newestTimeout = 5 * time.Second
)

// tree is what the actors of one Gabion share and none of them owns: it outlives every restart. Its fields
// are set before the supervisor is spawned and never change.
type tree struct {
	config    Config
	system    *actor.ActorSystem
	directory *store.Directory
	backups   *depot
	// lacking is what the file system of the directory does not have, found out at the start.
	lacking   []lacks
	publisher *publisher
	events    *eventLog
	// outbox sends what the supervisor, the coordinator and the runner answer; each cell has its own.
	outbox   *outbox
	repliers *repliers
	// replies are the channels that no waiter uses.
	replies   sync.Pool
	runner    *runner
	scheduler *scheduler // nil without a schedule
	members   members
	graves    graves
	// coordinator is the coordinator's mailbox.
	coordinator *mailbox
	// opening bounds the opens that run at once.
	opening chan struct{}
	space   space
	// listing bounds the reads of the backup directory for health and ListBackups. naming and state bound reads of DIR,
	// tables reads of each table's own directory, and sweeping the removal of its undo.
	listing, naming, state patience
	tables, sweeping       patiences
	// losing bounds the reads of losses.
	losing patience
	// place and backupPlace are of the checks whether DIR and BACKUPDIR are still the directories that were locked.
	place, backupPlace patience
	// asking bounds the calls of a disk by runs and requests, by their kind: where one hangs, no other waits behind it.
	asking patiences
	// reading bounds the backups that are opened to be read.
	reading patience
	// supervisor is the supervisor's PID, once it was spawned.
	supervisor atomic.Pointer[actor.PID]
	// proving holds a token while a backup is verified that somebody asked for.
	proving chan struct{}
	drill   *drill // nil without one
	// historian notes what charts are drawn from; underway is how far the work on backups is.
	historian *historian
	underway  underway
	tracer    trace.Tracer
	opened    openedBackups
	started   time.Time
	// admin is what is done beside the supervisor.
	admin admin
	// lossMu is held while losses are written down.
	lossMu sync.Mutex

	stopOnce sync.Once
	stopped  chan struct{} // closed when shutdown has ended
	stopErr  error
}

// openStore opens a cell's store. A table that backups know, or that served before and whose directory is gone now, is
// missing: it is not created, nor where mayCreate is false. What freezes the store goes to faults.
func (t *tree) openStore(c *cell, mayCreate bool, faults chan<- error) (*store.Store, error) {
	known, err := patient(&c.backups, newestTimeout, func() (bool, error) { return t.backups.Has(c.name) })
	if err != nil {
		c.logger.Warn("backups cannot be listed: a missing table is not created", "error", err)
	}
	return t.directory.Open(c.name, t.openOptions(c, faults, store.OpenOptions{
		Create:   mayCreate && (t.config.CreateEmpty || err == nil && !known),
		Recreate: mayCreate && t.config.CreateEmpty,
	}))
}

// openOptions completes o with what every open of a cell's store has.
func (t *tree) openOptions(c *cell, faults chan<- error, o store.OpenOptions) store.OpenOptions {
	o.Context = c.opens
	o.SchemaVersion = t.config.Schemas[c.name].Version
	o.Accounting, o.KeepAccounting = t.config.accounting(c.name), t.config.Visit
	o.Newest = func(lineage string) (uint64, error) { return t.newest(c, lineage) }
	o.OnFreeze = func(cause error) { report(faults, fmt.Errorf("%w: %w", store.ErrFrozen, cause)) }
	o.OnRefusal = c.heard
	o.OnCorruption = func(err error) { t.met(c, err) }
	return o
}

// report tells the keeper why its store must be closed; one reason is enough.
func report(faults chan<- error, cause error) {
	select {
	case faults <- cause:
	default:
	}
}

// newest returns the seq of a lineage's newest backup, 0 without one. A hung backup disk must not keep a table
// from opening.
func (t *tree) newest(c *cell, lineage string) (uint64, error) {
	return patient(&c.backups, newestTimeout, func() (uint64, error) {
		newest, ok, err := t.backups.Newest(c.name, lineage)
		if err != nil || !ok {
			return 0, err
		}
		return newest.Manifest.GetRecord().GetPosition().GetSeq(), nil
	})
}

// served are the names of the tables, sorted.
func (t *tree) served() []string {
	var names []string
	for _, m := range t.members.shown() {
		names = append(names, m.name)
	}
	return names
}

// find returns a table's cell, or a Failure that says which tables there are.
func (t *tree) find(table string) (*cell, *messages.Failure) {
	if m := t.members.find(table); m != nil && m.known() {
		return m.cell, nil
	}
	return nil, missingFailure(table)
}

func missingFailure(table string) *messages.Failure {
	return messages.Failf(messages.Code_CODE_NOT_FOUND, "no such table").Of(table).
		Advise("ListTables names the tables that are served")
}

// shutdown ends everything but the actors: it refuses new requests, ends the run, lets each owner receive
// what was sent before, commits and answers it, and closes every store. When ctx ends first, what still
// waits is answered, the tables that hang are named in the error, and their lock is kept until the calls
// they hang in return. Every call waits for the one shutdown there is, no longer than its own ctx.
func (t *tree) shutdown(ctx context.Context) error {
	first := false
	t.stopOnce.Do(func() {
		first = true
		go t.stop(ctx)
	})
	if first {
		<-t.stopped
		return t.stopErr
	}
	select {
	case <-t.stopped:
		return t.stopErr
	case <-ctx.Done():
		return fmt.Errorf("stop: %w", context.Cause(ctx))
	}
}

func (t *tree) stop(ctx context.Context) {
	defer close(t.stopped)
	// The run and the tables end side by side: one that hangs must not use up the others' time.
	t.scheduler.stop()
	t.drill.stop()
	t.space.stop()
	tables := t.members.close()
	late := make([]error, len(tables)+1)
	var wg sync.WaitGroup
	wg.Go(func() { late[len(tables)] = t.runner.stop(ctx) })
	t.admin.start(t.opened.stop)
	// Only the mailbox of an actor that was spawned can be drained.
	if t.members.backup() != nil {
		wg.Go(func() { t.coordinator.drain(ctx) })
	}
	for i, m := range tables {
		wg.Go(func() {
			if t.members.owner(m.name) != nil {
				m.mailbox.drain(ctx)
			}
			late[i] = m.stop(ctx)
		})
	}
	wg.Wait()
	t.admin.wait(ctx)
	t.outbox.flush(ctx)
	for _, m := range tables {
		m.outbox.flush(ctx)
	}
	t.publisher.stop(ctx)
	t.repliers.close()

	// The lock stays until the last call returns: another Gabion must not open a store that this one may
	// still write to.
	released := make(chan error, 1)
	go func() {
		for _, m := range tables {
			<-m.gone
		}
		t.runner.wait()
		t.scheduler.wait()
		t.events.wait()
		t.historian.wait()
		t.admin.wait(context.Background())
		err := t.release()
		if err != nil {
			t.config.Logger.Error("directories released with an error", "error", err)
		}
		released <- err
	}()
	err := errors.Join(late...)
	if err == nil {
		select {
		case t.stopErr = <-released:
			return
		case <-ctx.Done():
			err = errors.New("directories are not released yet")
			if n := t.backups.Busy(); n > 0 {
				err = fmt.Errorf("%w: %d operations on %s go on", backup.ErrBusy, n, t.backups.Path())
			}
			if t.events.writes() {
				err = errors.New("event log still waits for its disk")
			}
			if t.historian.writes() {
				err = errors.New("history still waits for its disk")
			}
		}
	}
	t.stopErr = messages.WithHint(fmt.Errorf("stop: %w: %w", context.Cause(ctx), err),
		"the directory stays locked until these calls return, or the process ends")
}

// release waits for what was left behind because its disk is slow, and gives the directories free.
func (t *tree) release() error {
	return errors.Join(t.backups.close(), t.directory.Close())
}
