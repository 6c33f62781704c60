package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// retrySoon is the retry_after of a table that is about to serve.
	retrySoon = 100 * time.Millisecond
	// retryLate is that of a table that waits for a person.
	retryLate = 30 * time.Second

	// A store that failed, or that could not be opened, is opened again after backoffFirst, doubled each
	// time up to backoffMost, give or take a fifth. After backoffBudget failures within backoffWindow the
	// table is quarantined.
	backoffFirst  = 100 * time.Millisecond
	backoffMost   = 30 * time.Second
	backoffBudget = 10
	backoffWindow = 10 * time.Minute
)

// cell is a table's store, committer, acker and pending writes. The supervisor holds it, so it outlives a
// restart of its owner. One goroutine, the keeper, opens and closes the store; every other method may be
// called from any goroutine and does not wait for a disk, unless it says so.
type cell struct {
	name    string
	tree    *tree
	logger  *slog.Logger
	readers *readers

	// serving is the committer of the open store; nil in every state but open.
	serving  atomic.Pointer[committer]
	restarts atomic.Uint32

	commands chan command
	// faults carries why the store that serves must be closed; one at a time is enough.
	faults chan error
	// settled is closed when the first open has succeeded, or has said why not.
	settled chan struct{}
	once    sync.Once
	// gone is closed when the keeper has ended and the store is closed.
	gone chan struct{}
	// stopping: whatever fails now, the store is not opened again.
	stopping atomic.Bool
	// closing is the committer whose store is not yet closed, after serving is nil too.
	closing atomic.Pointer[committer]

	mu     sync.Mutex
	state  messages.TableState
	reason string
	hint   string
	since  time.Time

	// Owned by the keeper.
	failures []time.Time // of the faults within the window
	served   bool        // the table has been open: its directory is never made again
	opener   chan error  // who waits for the open that is under way
}

// command asks the keeper for a state.
type command struct {
	want commandKind
	// done gets nil when the state is reached, or why it is not.
	done chan error
}

type commandKind int

const (
	closeCommand commandKind = iota
	openCommand
	stopCommand
)

func newCell(t *tree, name string) *cell {
	c := &cell{
		name:     name,
		tree:     t,
		logger:   t.config.Logger.With("table", name),
		commands: make(chan command),
		faults:   make(chan error, 1),
		settled:  make(chan struct{}),
		gone:     make(chan struct{}),
		state:    messages.TableState_TABLE_STATE_OPENING,
		since:    time.Now(),
	}
	c.readers = newReaders(c, t.config.Readers)
	return c
}

// keep is the keeper's goroutine: it opens the store, serves it until a fault or a command, closes it, and
// so on.
func (c *cell) keep() {
	defer close(c.gone)
	for {
		// A fault reported until now is of a store that is closed.
		select {
		case <-c.faults:
		default:
		}
		opened, err := c.open()
		if err != nil {
			if !c.wait(err) {
				return
			}
			continue
		}
		next, done := c.serve(opened)
		if next == stopCommand {
			c.setState(messages.TableState_TABLE_STATE_CLOSED, "stopped", "")
			done <- nil
			return
		}
		if next == closeCommand && !c.rest(done) {
			return
		}
	}
}

// open makes one attempt. Only a few tables open at once: each replays its WAL.
func (c *cell) open() (*store.Store, error) {
	c.tree.opening <- struct{}{}
	defer func() { <-c.tree.opening }()
	return c.tree.openStore(c)
}

// serve lets the store serve until a command or a fault, then closes it. After a fault it returns openCommand.
func (c *cell) serve(s *store.Store) (next commandKind, done chan error) {
	m := newCommitter(c, s, int(c.tree.config.MemTableBytes/groupShare))
	c.served = true
	c.closing.Store(m)
	c.serving.Store(m)
	c.setState(messages.TableState_TABLE_STATE_OPEN, "", "")
	c.answerOpener(nil)
	var fault error
	for done == nil && fault == nil {
		select {
		case fault = <-c.faults:
			next = openCommand
			c.setState(messages.TableState_TABLE_STATE_REOPENING, fault.Error(), "the log has the cause")
		case command := <-c.commands:
			if command.want == openCommand {
				command.done <- nil
				continue
			}
			next, done = command.want, command.done
			c.setState(messages.TableState_TABLE_STATE_CLOSED, "closing", "")
		}
	}
	c.serving.Store(nil)
	if fault != nil && s.Frozen() {
		// What is pending was certainly not written, and is told so.
		m.fail(fault, nil)
	}
	m.close()
	if err := s.Close(); err != nil {
		c.logger.Warn("store closed with an error", "error", err)
	}
	c.closing.Store(nil)
	if fault != nil {
		c.restarts.Add(1)
		c.logger.Error("table failed and reopens", "error", fault)
		if !c.pause(fault) {
			return stopCommand, make(chan error, 1)
		}
	}
	return next, done
}

// wait decides what to do after an open that failed: quarantine or another try. It returns false when the cell stops.
func (c *cell) wait(err error) bool {
	if errors.Is(err, messages.ErrDataLoss) || errors.Is(err, store.ErrMissing) || errors.Is(err, store.ErrNewer) ||
		c.tree.directory.ReadOnly() {
		return c.quarantine(err)
	}
	c.logger.Warn("table did not open", "error", err)
	return c.pause(err)
}

// pause waits before the next open, longer each time; past the budget the table is quarantined. It
// returns false when the cell stops.
func (c *cell) pause(cause error) bool {
	now := time.Now()
	recent := c.failures[:0]
	for _, t := range c.failures {
		if now.Sub(t) < backoffWindow {
			recent = append(recent, t)
		}
	}
	c.failures = append(recent, now)
	n := len(c.failures)
	if n > backoffBudget {
		return c.quarantine(fmt.Errorf("%d failures within %v, the last: %w", n, backoffWindow, cause))
	}
	c.setState(messages.TableState_TABLE_STATE_REOPENING, cause.Error(), joinHints(cause))
	c.settle()
	c.answerOpener(cause)
	wait := min(backoffFirst<<(n-1), backoffMost)
	wait += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(wait))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case command := <-c.commands:
			switch command.want {
			case openCommand:
				command.done <- fmt.Errorf("table reopens after a fault: %w", cause)
			case closeCommand:
				c.setState(messages.TableState_TABLE_STATE_CLOSED, "closed on request", "open it with OpenTable")
				return c.rest(command.done)
			default:
				command.done <- nil
				return false
			}
		}
	}
}

// quarantine leaves the directory untouched until somebody acts. It returns false when the cell stops.
func (c *cell) quarantine(cause error) bool {
	c.setState(messages.TableState_TABLE_STATE_QUARANTINED, cause.Error(), joinHints(cause))
	c.logger.Error("table is quarantined: it is not served, its directory is kept untouched",
		"error", cause, "hint", joinHints(cause))
	c.settle()
	c.answerOpener(cause)
	for command := range c.commands {
		switch command.want {
		case stopCommand:
			command.done <- nil
			return false
		case closeCommand:
			c.setState(messages.TableState_TABLE_STATE_CLOSED, "closed on request", "open it with OpenTable")
			return c.rest(command.done)
		default:
			command.done <- fmt.Errorf("table is quarantined: %w", cause)
		}
	}
	return false
}

// rest keeps the table closed until it is opened, and returns false when the cell stops.
func (c *cell) rest(done chan error) bool {
	c.setState(messages.TableState_TABLE_STATE_CLOSED, "closed on request", "open it with OpenTable")
	c.settle()
	done <- nil
	for command := range c.commands {
		switch command.want {
		case stopCommand:
			command.done <- nil
			return false
		case closeCommand:
			command.done <- nil
		case openCommand:
			c.failures = nil
			c.setState(messages.TableState_TABLE_STATE_OPENING, "", "")
			c.opener = command.done
			return true
		}
	}
	return false
}

// answerOpener tells who asked for the open how it went.
func (c *cell) answerOpener(err error) {
	if c.opener != nil {
		c.opener <- err
		c.opener = nil
	}
}

// ask gives the keeper a command and waits until it is done.
func (c *cell) ask(ctx context.Context, want commandKind) error {
	done := make(chan error, 1)
	select {
	case c.commands <- command{want: want, done: done}:
	case <-c.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop makes the keeper close the store and end. When ctx ends first, all that still waits is answered, and the
// store is closed once the call it hangs in returns.
func (c *cell) stop(ctx context.Context) error {
	c.stopping.Store(true)
	go func() { _ = c.ask(context.Background(), stopCommand) }()
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
	}
	c.serving.Store(nil)
	// Beside: a sender whose mailbox is full holds up who answers it.
	if m := c.closing.Load(); m != nil {
		go m.abandon()
	}
	go c.readers.abandon()
	return fmt.Errorf("table %q is not closed yet", c.name)
}

// faulted closes and reopens the store because of cause. Called by whichever goroutine met the fault.
func (c *cell) faulted(cause error) {
	if c.stopping.Load() {
		return
	}
	select {
	case c.faults <- cause:
	default:
	}
}

// setState changes the state and publishes the change.
func (c *cell) setState(to messages.TableState, reason, hint string) {
	c.mu.Lock()
	from := c.state
	c.state, c.reason, c.hint, c.since = to, reason, hint, time.Now()
	at := c.since
	c.mu.Unlock()
	if from != to {
		c.logger.Info("table state changed", "from", stateName(from), "to", stateName(to), "reason", reason)
		c.tree.publisher.publish(&messages.TableStateChanged{
			Table: c.name, From: from, To: to, Reason: reason, At: timestamppb.New(at)})
	}
	// After the event: who subscribes once Start has returned meets no change from before.
	if to == messages.TableState_TABLE_STATE_OPEN {
		c.settle()
	}
}

func (c *cell) settle() { c.once.Do(func() { close(c.settled) }) }

// info is the table's row of a list.
func (c *cell) info() *messages.TableInfo {
	c.mu.Lock()
	info := &messages.TableInfo{
		Table: c.name, State: c.state, Reason: c.reason, Hint: c.hint, Since: timestamppb.New(c.since),
	}
	c.mu.Unlock()
	if m := c.serving.Load(); m != nil {
		info.Position = m.store.Record().GetPosition()
	}
	return info
}

// refusal is the answer of a table that does not serve now.
func (c *cell) refusal() *messages.Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := retrySoon
	switch c.state {
	case messages.TableState_TABLE_STATE_QUARANTINED, messages.TableState_TABLE_STATE_CLOSED:
		wait = retryLate
	}
	text := "table is " + stateName(c.state)
	if c.reason != "" {
		text += ": " + c.reason
	}
	return unavailable(c.name, text, wait).Advise(c.hint)
}
