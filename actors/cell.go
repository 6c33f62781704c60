package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

const (
	// retrySoon is the retry_after of a table that is about to serve.
	retrySoon = 100 * time.Millisecond
	// retryLate is that of a table that waits for a person.
	retryLate = 30 * time.Second
)

// cell is a table's store, committer, acker and pending writes. The supervisor holds it, so it outlives a
// restart of its owner. One goroutine, the keeper, opens and closes the store; every other method may be
// called from any goroutine and does not wait for a disk, unless it says so.
type cell struct {
	name    string
	tree    *tree
	logger  *slog.Logger
	readers *readers
	outbox  *outbox

	// serving is the committer of the open store; nil in every state but open.
	serving  atomic.Pointer[committer]
	restarts atomic.Uint32
	stats    tableStats
	// hidden tables are not listed, not backed up and not found by name: those not served yet. So are dropped ones, whose
	// keeper ends.
	hidden, dropped atomic.Bool
	// found tables were on disk when somebody asked for them: an open never makes them.
	found atomic.Bool
	// dropAsked is set while a drop waits or is carried out; dropping refuses writes: the last backup must hold the last one.
	dropAsked atomic.Bool
	dropping  atomic.Bool
	// restoring is set while a restore of the table is under way; healed is when one that nobody asked for came to its
	// flip, in nanoseconds since 1970. Who sets restoring writes it.
	restoring atomic.Bool
	healed    atomic.Pointer[time.Time]
	// checking is set while the table's blocks are read through.
	checking atomic.Bool
	// usage is asked for by health; backups is asked for by an open.
	usage, backups patience
	// flushing counts the flushes before cuts that run.
	flushing atomic.Int32

	commands chan command
	// settled is closed when the first open has succeeded, or has said why not.
	settled chan struct{}
	once    sync.Once
	// live ends when the cell is told to stop.
	live context.Context
	end  context.CancelCauseFunc
	// opens ends when the time to stop is over: an open that lasts is given up.
	opens  context.Context
	giveUp context.CancelCauseFunc
	// gone is closed when the keeper has ended and the store is closed.
	gone chan struct{}
	// lateness runs while the store is being opened: nobody has heard of its disk since it was set.
	lateness atomic.Pointer[time.Timer]
	// backedUp is the last backup that a look at health found; nil for none so far.
	backedUp atomic.Pointer[timestamppb.Timestamp]
	// closing is the committer whose store is not yet closed, after serving is nil too.
	closing atomic.Pointer[committer]

	judging sync.Mutex // held before mu

	mu     sync.Mutex
	state  messages.TableState
	reason string
	hint   string
	since  time.Time
	// suspicion is what is held against the files that serve.
	suspicion suspicion
	// rechecked is set while checkAgain waits or reads.
	rechecked atomic.Bool
}

// command asks the keeper for a state.
type command struct {
	want commandKind
	// flip puts another lineage in the place of the one that serves; of a restoreCommand. It is told the record of the
	// store that was closed, nil where none was open.
	flip func(before *messages.TableRecord) error
	// done gets nil when the state is reached, or why it is not.
	done chan error
}

type commandKind int

const (
	closeCommand commandKind = iota
	openCommand
	retryCommand   // open, also what is quarantined
	createCommand  // make it empty, and open it
	dropCommand    // close it, and keep its data as undo
	restoreCommand // close it, flip it to another lineage, and open that
	stopCommand
)

// newCell makes a cell whose store is opened at once.
func newCell(t *tree, name string) *cell {
	c := &cell{
		name:     name,
		tree:     t,
		logger:   t.config.Logger.With("table", name),
		outbox:   newOutbox(t.system),
		commands: make(chan command),
		settled:  make(chan struct{}),
		gone:     make(chan struct{}),
		state:    messages.TableState_TABLE_STATE_OPENING,
		since:    time.Now(),
	}
	c.live, c.end = context.WithCancelCause(context.Background())
	c.opens, c.giveUp = context.WithCancelCause(context.Background())
	c.readers = newReaders(c, t.config.Readers)
	return c
}

// ask gives the keeper a command and waits until it is done.
func (c *cell) ask(ctx context.Context, want commandKind) error {
	return c.askFor(ctx, command{want: want})
}

// askFor is ask for a command that is more than a state.
func (c *cell) askFor(ctx context.Context, what command) error {
	done := make(chan error, 1)
	what.done = done
	select {
	case c.commands <- what:
	case <-c.gone:
		if c.dropped.Load() {
			return droppedFailure(c.name)
		}
		return stoppedFailure().Of(c.name)
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
	c.end(errors.New("gabion is stopping"))
	go func() { _ = c.ask(context.Background(), stopCommand) }()
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
	}
	c.giveUp(errors.New("gabion is stopping"))
	c.serving.Store(nil)
	// Beside: a sender whose mailbox is full holds up who answers it.
	if m := c.closing.Load(); m != nil {
		go m.abandon()
	}
	go c.readers.abandon()
	return fmt.Errorf("table %q is not closed yet", c.name)
}

// showing is the state that ListTables shows.
func (c *cell) showing() messages.TableState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// setState changes the state and publishes the change. Called by the keeper.
func (c *cell) setState(to messages.TableState, reason, hint string) { c.change(to, reason, hint) }

// change is setState where the state is one of only, or any if there is none.
func (c *cell) change(to messages.TableState, reason, hint string, only ...messages.TableState) {
	c.mu.Lock()
	from := c.state
	if len(only) > 0 && !slices.Contains(only, from) {
		c.mu.Unlock()
		return
	}
	reason, hint = messages.Text(reason), messages.Text(hint)
	c.state, c.reason, c.hint, c.since = to, reason, hint, time.Now()
	if from != to {
		c.stats.came(to)
		// Within the lock, so that events come in the order of the changes. It never waits.
		c.tree.publisher.publish(&messages.TableStateChanged{
			Table: c.name, From: from, To: to, Reason: reason, Hint: hint, At: timestamppb.New(c.since)})
	}
	c.mu.Unlock()
	if from != to {
		c.logger.Info("table state changed", "from", stateName(from), "to", stateName(to), "reason", reason, "hint", hint)
	}
	// After the event: who subscribes once Start has returned meets no change from before.
	if to == messages.TableState_TABLE_STATE_OPEN {
		c.settle()
	}
}

func (c *cell) settle() { c.once.Do(func() { close(c.settled) }) }

// known tells whether the table is listed, backed up and found by name.
func (c *cell) known() bool { return !c.hidden.Load() && !c.dropped.Load() }

// info is the table's row of a list.
func (c *cell) info() *messages.TableInfo {
	c.mu.Lock()
	info := &messages.TableInfo{
		Table: c.name, State: c.state, Reason: c.reason, Hint: c.hint, Since: timestamppb.New(c.since),
	}
	c.mu.Unlock()
	if m := c.serving.Load(); m != nil {
		info.Position = proto.CloneOf(m.store.Record().GetPosition())
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
	if !c.known() {
		return droppedFailure(c.name)
	}
	return unavailable(c.name, text, wait).Advise(c.hint)
}
