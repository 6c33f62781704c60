package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// A store that failed, or that could not be opened, is opened again after backoffFirst, doubled each time up to
// backoffMost, give or take a fifth. After backoffBudget failures within backoffWindow the table is
// quarantined.
const (
	backoffFirst  = 100 * time.Millisecond
	backoffMost   = 30 * time.Second
	backoffBudget = 10
	backoffWindow = 10 * time.Minute
)

// turnLimit is how long an open keeps others from theirs.
const turnLimit = time.Second

// keeper opens and closes a cell's store, on one goroutine. Between any two steps it is in the state that the
// cell shows: open, reopening (retry runs), quarantined or closed.
type keeper struct {
	*cell
	served *committer  // of the open store
	faults chan error  // of the open store; nil without one
	retry  *time.Timer // runs in state reopening
	cause  error       // why the table is reopening or quarantined

	failures  []time.Time        // of the faults within the window
	full      bool               // no room: served for reads alone, or not at all; retry runs
	pause     time.Duration      // the last one between two tries to open a full table
	tried     *messages.Position // what the last migration that failed left
	hasServed bool               // the table has been open: its directory is never made again
}

// keep is the keeper's goroutine.
func (c *cell) keep() {
	defer close(c.gone)
	defer c.giveUp(nil)
	defer c.end(nil)
	k := &keeper{cell: c, retry: time.NewTimer(0)}
	defer k.retry.Stop()
	if c.showing() == messages.TableState_TABLE_STATE_CLOSED {
		k.retry.Stop()
	}
	for {
		select {
		case command := <-c.commands:
			if k.obey(command) {
				return
			}
		case fault := <-k.faults:
			k.reopen(fault)
		case <-k.retry.C:
			if k.full {
				_ = k.recheck() // the state says it
			} else {
				_ = k.open() // which logs it
			}
		}
	}
}

// obey carries out a command; true ends the keeper.
func (k *keeper) obey(command command) bool {
	switch command.want {
	case stopCommand:
		k.rest("gabion is stopping", "")
		command.done <- nil
		return true
	case closeCommand:
		k.rest("closed on request", "open it with OpenTable, or gabion tables open")
		command.done <- nil
	case createCommand:
		command.done <- k.create()
	case dropCommand:
		err := k.drop()
		command.done <- err
		return err == nil
	case restoreCommand:
		command.done <- k.restore(command.flip)
	case openCommand, retryCommand:
		switch {
		case k.hidden.Load():
			command.done <- droppedFailure(k.name)
		case k.full && command.want == retryCommand:
			command.done <- k.recheck()
		case k.served != nil:
			command.done <- nil
		case k.cause != nil && command.want == openCommand:
			command.done <- messages.WithHint(fmt.Errorf("table is %s: %w", stateName(k.showing()), k.cause),
				"RetryTable, or gabion tables retry, tries again at once")
		case k.cause == nil && command.want == retryCommand:
			command.done <- messages.WithHint(fmt.Errorf("table is %s: %w", stateName(k.showing()), messages.ErrUnavailable),
				"open it with OpenTable, or gabion tables open")
		default:
			k.failures, k.cause = nil, nil
			k.setState(messages.TableState_TABLE_STATE_OPENING, "", "")
			command.done <- k.open()
		}
	}
	return false
}

// create makes the table empty and serves it. One that fails is closed again.
func (k *keeper) create() error {
	if k.served != nil {
		return messages.Failf(messages.Code_CODE_ALREADY_EXISTS, "table is served already").Of(k.name).
			Advise("ListTables tells its state")
	}
	k.retry.Stop()
	faults := make(chan error, 1)
	s, err := k.tree.directory.Open(k.name, k.tree.openOptions(k.cell, faults, store.OpenOptions{Recreate: true}))
	if err != nil {
		return err
	}
	k.failures = nil
	k.hidden.Store(false)
	k.serve(s, faults)
	return nil
}

// drop closes the store and keeps its data as undo: the end of the cell. One that fails is opened again, unless it was closed.
func (k *keeper) drop() error {
	wasClosed := k.showing() == messages.TableState_TABLE_STATE_CLOSED
	k.rest("being dropped", "")
	until := time.Now().Add(k.tree.config.UndoLife)
	// One that is missing leaves nothing to keep.
	if err := k.tree.directory.Drop(k.name, until); err != nil && !errors.Is(err, store.ErrMissing) {
		if wasClosed {
			k.setState(messages.TableState_TABLE_STATE_CLOSED, "not dropped", "open it with OpenTable, or gabion tables open")
			return err
		}
		return errors.Join(err, k.open())
	}
	k.dropped.Store(true)
	k.tree.historian.dropped(k.name)
	k.setState(messages.TableState_TABLE_STATE_CLOSED, "dropped", "create it with CreateTable, or gabion tables create")
	k.logger.Info("table dropped", "undo_until", until)
	return nil
}

// restore closes the store, puts another lineage in its place and opens that. Where the flip fails the table is as before.
func (k *keeper) restore(flip func(before *messages.TableRecord) error) error {
	k.retry.Stop()
	wasClosed := k.showing() == messages.TableState_TABLE_STATE_CLOSED // hidden ones are
	var before *messages.TableRecord
	k.setState(messages.TableState_TABLE_STATE_RESTORING, "", "")
	if k.served != nil {
		m := k.served
		k.shut(nil)
		before = m.store.Record()
	}
	k.full = false
	if err := flip(before); err != nil {
		if wasClosed {
			k.setState(messages.TableState_TABLE_STATE_CLOSED, "not restored", "open it with OpenTable, or gabion tables open")
			return err
		}
		return errors.Join(err, k.open())
	}
	k.failures, k.cause, k.tried = nil, nil, nil
	k.hasServed = true
	k.hidden.Store(false)
	k.acquit(time.Time{})
	return k.open()
}

// open makes one attempt to open the store; when it fails the table is opened again later, or quarantined.
func (k *keeper) open() error {
	// A command may come before the timer that would have opened the store.
	k.retry.Stop()
	k.full = false
	end, ok := k.takeTurn()
	if !ok {
		return stoppedFailure()
	}
	if err := k.openShort(); !errors.Is(err, errNotThere) {
		end()
		return err
	}
	// One for each store: what a store reports once it is closed is nobody's concern.
	faults := make(chan error, 1)
	s, err := k.tree.openStore(k.cell, !k.hasServed && !k.found.Load(), faults)
	end()
	if err == nil {
		if err = k.migrate(s); err != nil {
			err = errors.Join(err, s.Close())
		}
	}
	switch {
	case err == nil:
		k.serve(s, faults)
	case lasting(err), k.tree.directory.ReadOnly():
		k.quarantine(err)
	default:
		k.logger.Warn("table did not open", "error", err)
		k.wait(err)
	}
	return err
}

// takeTurn waits until the table may open: only a few do at once, since each replays its WAL. What does not end soon gives
// its turn back before it ends: its disk may hang, and the others' need not. false means that Gabion stops.
func (k *keeper) takeTurn() (end func(), ok bool) {
	select {
	case k.tree.opening <- struct{}{}:
	case <-k.live.Done():
		return nil, false
	}
	give := sync.OnceFunc(func() { <-k.tree.opening })
	yield := time.AfterFunc(turnLimit, give)
	late := time.AfterFunc(k.tree.config.StallAfter, k.late)
	k.lateness.Store(late)
	return func() {
		k.lateness.Store(nil)
		late.Stop()
		yield.Stop()
		give()
	}, true
}

// late says why the table is not open yet. A caller that waits for it to settle need not wait for its disk.
func (c *cell) late() {
	if c.lateness.Load() == nil {
		return // it has ended
	}
	reason := fmt.Sprintf("it is not open after %v: its disk may not answer", c.tree.config.StallAfter)
	c.logger.Warn("table does not open: it serves as soon as its disk answers", "reason", reason)
	c.change(messages.TableState_TABLE_STATE_OPENING, reason, "look at the disk of the table, and at the log of the system",
		messages.TableState_TABLE_STATE_OPENING)
	c.settle()
}

// heard notes that the disk answers an open, if only that it has no room.
func (c *cell) heard() {
	if late := c.lateness.Load(); late != nil {
		late.Reset(c.tree.config.StallAfter)
	}
}

// lasting tells whether an error of an open needs a person: another try meets the same.
func lasting(err error) bool {
	return errors.Is(err, messages.ErrDataLoss) || errors.Is(err, store.ErrMissing) ||
		errors.Is(err, store.ErrReplaced) || errors.Is(err, store.ErrNewer) || errors.Is(err, errSchema) ||
		errors.Is(err, messages.ErrNotAdopted)
}

func (k *keeper) serve(s *store.Store, faults chan error) {
	k.pause = 0
	k.use(s, faults, messages.TableState_TABLE_STATE_OPEN, "", "")
}

// use serves an open store, in a state.
func (k *keeper) use(s *store.Store, faults chan error, state messages.TableState, reason, hint string) {
	m := newCommitter(k.cell, s, faults, int(k.tree.config.MemTableBytes/groupShare))
	k.served, k.faults, k.hasServed, k.cause = m, faults, true, nil
	k.closing.Store(m)
	k.serving.Store(m)
	k.setState(state, reason, hint)
}

// reopen closes the store after a fault, and has it opened again in a while.
func (k *keeper) reopen(fault error) {
	if store.NoRoom(fault) {
		k.setState(messages.TableState_TABLE_STATE_FULL, fault.Error(), fullHint)
	} else {
		k.setState(messages.TableState_TABLE_STATE_REOPENING, fault.Error(), "the log has the cause")
	}
	k.shut(fault)
	k.restarts.Add(1)
	k.logger.Error("table failed and reopens", "error", fault)
	k.wait(fault)
}

// wait has the store opened after a pause, longer each time; past the budget the table is quarantined.
func (k *keeper) wait(cause error) {
	if store.NoRoom(cause) {
		k.noRoom(cause)
		return
	}
	now := time.Now()
	recent := k.failures[:0]
	for _, t := range k.failures {
		if now.Sub(t) < backoffWindow {
			recent = append(recent, t)
		}
	}
	k.failures = append(recent, now)
	n := len(k.failures)
	if n > backoffBudget {
		k.quarantine(fmt.Errorf("%d failures within %v, the last: %w", n, backoffWindow, cause))
		return
	}
	k.cause = cause
	k.setState(messages.TableState_TABLE_STATE_REOPENING, cause.Error(), joinHints(cause))
	k.settle()
	pause := min(backoffFirst<<(n-1), backoffMost)
	pause += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(pause))
	k.retry.Reset(pause)
}

// quarantine leaves the directory untouched until somebody acts.
func (k *keeper) quarantine(cause error) {
	k.cause = cause
	k.setState(messages.TableState_TABLE_STATE_QUARANTINED, cause.Error(), joinHints(cause))
	k.logger.Error("table is quarantined: it is not served, its directory is kept untouched",
		"error", cause, "hint", joinHints(cause))
	k.settle()
	// Nobody heals a table that is not there: its disk may not be mounted.
	if errors.Is(cause, messages.ErrDataLoss) && !errors.Is(cause, store.ErrMissing) {
		k.tree.heal(k.cell, false, cause)
	}
}

// rest closes the store, and keeps the table closed.
func (k *keeper) rest(reason, hint string) {
	k.retry.Stop()
	k.cause, k.full = nil, false
	if k.served != nil {
		k.setState(messages.TableState_TABLE_STATE_CLOSED, reason, hint)
		k.shut(nil)
	}
	k.setState(messages.TableState_TABLE_STATE_CLOSED, reason, hint)
	k.settle()
}

// shut closes the store that serves: what is pending is committed and answered, or, after a fault, refused.
func (k *keeper) shut(fault error) {
	m := k.served
	k.served, k.faults = nil, nil
	k.serving.Store(nil)
	if fault != nil && m.store.Frozen() {
		// What is pending was certainly not written, and is told so.
		m.fail(fault, nil)
	}
	m.close()
	// Who asked for the close may take it that all before was answered.
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	k.outbox.flush(ctx)
	if err := m.store.Close(); err != nil {
		k.logger.Warn("store closed with an error", "error", err)
	}
	k.closing.Store(nil)
}
