package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// concurrentOpens is how many tables open at once.
	concurrentOpens = 8
	// newestTimeout is how long an open waits to learn of the newest backup before it goes on without.
	newestTimeout = 5 * time.Second
)

// tree is what the actors of one Gabion share and none of them owns: it outlives every restart. Its fields
// are set before the supervisor is spawned and never change.
type tree struct {
	config    Config
	system    *actor.ActorSystem
	directory *store.Directory
	backups   *backup.Directory
	publisher *publisher
	repliers  *repliers
	runner    *runner
	// names are the tables served, sorted; cells has one for each.
	names []string
	cells map[string]*cell
	// mailboxes has one for each owner, by table, and the coordinator's.
	mailboxes   map[string]*mailbox
	coordinator *mailbox
	// opening bounds the opens that run at once.
	opening chan struct{}

	stopOnce sync.Once
	stopped  chan struct{} // closed when shutdown has ended
	stopErr  error

	pidsMu sync.Mutex
	pids   map[string]*actor.PID // of the owners, by table
	backup *actor.PID            // of the coordinator
}

// openStore opens a cell's store.
func (t *tree) openStore(c *cell) (*store.Store, error) {
	known, err := t.backups.Tables()
	create := t.config.CreateEmpty || err == nil && !slices.Contains(known, c.name)
	if err != nil {
		c.logger.Warn("backups cannot be listed: a missing table is not created", "error", err)
	}
	return t.directory.Open(c.name, store.OpenOptions{
		Create: create,
		Newest: func(lineage string) (uint64, error) { return t.newest(c.name, lineage) },
		OnFreeze: func(cause error) {
			c.faulted(fmt.Errorf("%w: %w", store.ErrFrozen, cause))
		},
		OnCorruption: func(err error) { c.logger.Error("damaged block met", "error", err) },
	})
}

// newest returns the seq of a lineage's newest backup, 0 without one. A hung backup disk must not keep a table
// from opening.
func (t *tree) newest(table, lineage string) (uint64, error) {
	type answer struct {
		seq uint64
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		newest, ok, err := t.backups.Newest(table, lineage)
		if err != nil || !ok {
			answers <- answer{err: err}
			return
		}
		answers <- answer{seq: newest.Manifest.GetRecord().GetPosition().GetSeq()}
	}()
	timer := time.NewTimer(newestTimeout)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.seq, a.err
	case <-timer.C:
		return 0, fmt.Errorf("list backups: no answer in %v", newestTimeout)
	}
}

// find returns a table's cell, or a Failure that says which tables there are.
func (t *tree) find(table string) (*cell, *messages.Failure) {
	if c := t.cells[table]; c != nil {
		return c, nil
	}
	return nil, messages.Failf(messages.Code_CODE_NOT_FOUND, "no such table").Of(table).
		Advise("ListTables names the tables that are served")
}

// shutdown ends everything but the actors: it refuses new requests, ends the run, lets each owner receive
// what was sent before, commits and answers it, and closes every store. When ctx ends first, what still
// waits is answered, the tables that hang are named in the error, and their lock is kept until the calls
// they hang in return. Every call waits for the one shutdown there is, no longer than its own ctx.
func (t *tree) shutdown(ctx context.Context) error {
	t.stopOnce.Do(func() { go t.stop(ctx) })
	<-t.stopped
	return t.stopErr
}

func (t *tree) stop(ctx context.Context) {
	defer close(t.stopped)
	runErr := t.runner.stop(ctx)
	var reached []<-chan struct{}
	for _, m := range t.spawnedMailboxes() {
		reached = append(reached, m.close())
	}
	for _, r := range reached {
		select {
		case <-r:
		case <-ctx.Done():
		}
	}
	var wg sync.WaitGroup
	for _, c := range t.cells {
		wg.Go(func() { _ = c.ask(ctx, stopCommand) })
	}
	wg.Wait()
	var hung []error
	for _, name := range t.names {
		c := t.cells[name]
		select {
		case <-c.gone:
			continue
		default:
		}
		select {
		case <-c.gone:
		case <-ctx.Done():
			if m := c.serving.Swap(nil); m != nil {
				m.abandon()
			}
			hung = append(hung, fmt.Errorf("table %q still waits for its disk", name))
		}
	}
	t.publisher.stop(ctx)
	t.repliers.close()
	if hung == nil && runErr == nil {
		t.stopErr = t.release()
		return
	}
	// The lock stays until the last call returns: another Gabion must not open a store that this one may
	// still write to.
	go func() {
		for _, c := range t.cells {
			<-c.gone
		}
		t.runner.wait()
		if err := t.release(); err != nil {
			t.config.Logger.Error("directories released with an error", "error", err)
		}
	}()
	t.stopErr = messages.WithHint(
		fmt.Errorf("stop: %w: %w", context.Cause(ctx), errors.Join(append(hung, runErr)...)),
		"the directory stays locked until these calls return, or the process ends")
}

func (t *tree) release() error {
	return errors.Join(t.backups.Close(), t.directory.Close())
}
