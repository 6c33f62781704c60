package actors

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Table is a handle on one table, for any number of goroutines. Its calls wait for the answer; errors match
// the sentinels of package messages. Keys and values are copied, and those returned belong to the caller.
//
// A call is what the table's owner does with the same message, without the way through its mailbox, unless there is
// Config.Middleware to see it: it does not wait behind the messages that the owner has not received yet. Both meet in
// the table's one order of commits.
//
// A call whose ctx ends returns an error that matches the context's, but for a Get, or a page of a Walk, that
// reads on the caller's goroutine: it returns when its disk does. A write whose ctx ends before the table begins
// to carry it out is dropped; of one that was begun, the error matches messages.ErrOutcomeUnknown too.
type Table struct {
	gabion *Gabion
	name   string
	found  atomic.Pointer[member] // nil until the table is known
	// unanswered counts this handle's writes that were not answered: where calls go through the mailbox, a Get goes
	// behind them.
	unanswered atomic.Int64
}

// Table returns a handle on a table. While there is no such table its calls fail with messages.ErrNotFound. Order is kept between the calls on one handle, not between handles.
func (g *Gabion) Table(name string) *Table {
	return &Table{gabion: g, name: name}
}

// cell returns the table's, nil while there is no such table.
func (t *Table) cell() *cell {
	m := t.found.Load()
	if m == nil || m.dropped.Load() {
		if m = t.gabion.tree.members.find(t.name); m == nil {
			return nil
		}
		t.found.Store(m) // until the table is dropped
	}
	return m.cell
}

// Name is the table's name.
func (t *Table) Name() string { return t.name }

// Put stores value under key and returns the table's seq, after the fsync.
func (t *Table) Put(ctx context.Context, key, value []byte) (seq uint64, err error) {
	key, value = copied(key, value)
	return t.write(ctx, "put", &messages.Put{Key: key, Value: value, Deadline: deadline(ctx)})
}

// Delete removes key. An absent key is not an error.
func (t *Table) Delete(ctx context.Context, key []byte) (seq uint64, err error) {
	return t.write(ctx, "delete", &messages.Delete{Key: bytes.Clone(key), Deadline: deadline(ctx)})
}

// Swap stores value under key and returns what key held before; found is false when it held nothing.
func (t *Table) Swap(ctx context.Context, key, value []byte) (previous []byte, found bool, err error) {
	key, value = copied(key, value)
	return t.exchange(ctx, "swap", &messages.Put{Key: key, Value: value, WantPrevious: true, Deadline: deadline(ctx)})
}

// Take removes key and returns what it held; found is false when it held nothing.
func (t *Table) Take(ctx context.Context, key []byte) (previous []byte, found bool, err error) {
	return t.exchange(ctx, "take", &messages.Delete{Key: bytes.Clone(key), WantPrevious: true, Deadline: deadline(ctx)})
}

func (t *Table) exchange(ctx context.Context, what string, m proto.Message) ([]byte, bool, error) {
	committed, err := t.commit(ctx, what, m)
	if err != nil || len(committed.GetPrevious()) == 0 {
		return nil, false, err
	}
	previous := committed.GetPrevious()[0]
	// It may be the value that another sender's message holds.
	return bytes.Clone(previous.GetValue()), previous.GetFound(), nil
}

// DeleteRange removes every key in [start, end).
func (t *Table) DeleteRange(ctx context.Context, start, end []byte) (seq uint64, err error) {
	return t.write(ctx, "delete range", &messages.DeleteRange{
		Start: bytes.Clone(start), End: bytes.Clone(end), Deadline: deadline(ctx)})
}

// Write carries out all ops of m or none. m must not be changed afterwards. When a condition does not
// hold the error matches messages.ErrConditionFailed.
func (t *Table) Write(ctx context.Context, m *messages.Write) (seq uint64, err error) {
	committed, err := t.Commit(ctx, m)
	return committed.GetSeq(), err
}

// Commit carries out a Put, Delete, DeleteRange or Write and returns the whole answer: the seq, and what each key held before,
// where its operation asks for that. m must not be changed afterwards. A deadline of ctx stands in the place of m's, but
// in a Write that has one.
func (t *Table) Commit(ctx context.Context, m proto.Message) (*messages.Committed, error) {
	switch m := m.(type) {
	case *messages.Put:
		return t.commit(ctx, named(m, "put", "swap"), &messages.Put{
			Key: m.GetKey(), Value: m.GetValue(), WantPrevious: m.GetWantPrevious(), Deadline: cmp.Or(deadline(ctx), m.GetDeadline())})
	case *messages.Delete:
		return t.commit(ctx, named(m, "delete", "take"), &messages.Delete{
			Key: m.GetKey(), WantPrevious: m.GetWantPrevious(), Deadline: cmp.Or(deadline(ctx), m.GetDeadline())})
	case *messages.DeleteRange:
		return t.commit(ctx, "delete range", &messages.DeleteRange{
			Start: m.GetStart(), End: m.GetEnd(), Deadline: cmp.Or(deadline(ctx), m.GetDeadline())})
	case *messages.Write:
		if m.GetDeadline() == nil && deadline(ctx) != nil {
			m = &messages.Write{Ops: m.GetOps(), Conditions: m.GetConditions(), Deadline: deadline(ctx)}
		}
		return t.commit(ctx, "write", m)
	}
	return nil, messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "%T is no operation", m).Of(t.name).
		Advise("send a Put, Delete, DeleteRange or Write")
}

// named is what the method is called that sends m.
func named(m interface{ GetWantPrevious() bool }, plain, exchange string) string {
	if m.GetWantPrevious() {
		return exchange
	}
	return plain
}

// copied is a copy of both, in one piece of memory.
func copied(key, value []byte) (k, v []byte) {
	both := make([]byte, len(key)+len(value))
	n := copy(both, key)
	copy(both[n:], value)
	return both[:n:n], both[n:]
}

func (t *Table) write(ctx context.Context, what string, m proto.Message) (uint64, error) {
	committed, err := t.commit(ctx, what, m)
	return committed.GetSeq(), err
}

// commit sends a write and waits for its answer.
func (t *Table) commit(ctx context.Context, what string, m proto.Message) (*messages.Committed, error) {
	if !t.sends() {
		committed, _, err := call[*messages.Committed](ctx, t, m, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		return committed, nil
	}
	t.unanswered.Add(1)
	settled := func(any) { t.unanswered.Add(-1) }
	committed, gaveUp, err := call[*messages.Committed](ctx, t, m, settled)
	if gaveUp {
		// settled is called when the answer comes.
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	settled(nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return committed, nil
}

// Get returns the value of key. A key that is absent gives an error that matches messages.ErrNotFound.
//
// Get sees every write that was answered before the call, and the earlier writes of this handle. It has no order with
// messages to the owner's PID that have no answer yet: it may overtake a Put that was sent before. Wait for that one's
// Committed, or send a messages.Get to the PID, which is received after it.
func (t *Table) Get(ctx context.Context, key []byte) ([]byte, error) {
	row, err := t.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if !row.found {
		return nil, fmt.Errorf("get %q: %w", key, messages.ErrNotFound)
	}
	return row.value, nil
}

// held is what a key holds.
type held struct {
	value []byte
	found bool
	// seq is that of the table before the read, or later.
	seq uint64
}

// get reads on the caller's goroutine when it can: nothing of this handle waits ahead of it in the mailbox, and
// no write of the key waits for its fsync.
func (t *Table) get(ctx context.Context, key []byte) (held, error) {
	if c := t.cell(); c != nil && (!t.sends() || t.unanswered.Load() == 0) {
		if ctx.Err() != nil {
			return held{}, contextError(ctx)
		}
		if m := c.serving.Load(); m != nil {
			if len(key) == 0 || len(key) > messages.MaxKey {
				return held{}, (&messages.Get{Key: key}).Check().Of(t.name)
			}
			if row, err := m.read(key); err == nil {
				return row, nil
			}
			// Being written, or closing: the owner knows what to answer.
		}
	}
	value, _, err := call[*messages.Value](ctx, t, &messages.Get{Key: bytes.Clone(key), Deadline: deadline(ctx)}, nil)
	if err != nil {
		return held{}, err
	}
	// The value may be the one that a sender's message holds.
	return held{value: bytes.Clone(value.GetValue()), found: value.GetFound(), seq: value.GetSeq()}, nil
}

// Scan returns one page. Continue with its Next as the start, or the end when reverse.
func (t *Table) Scan(ctx context.Context, m *messages.Scan) (*messages.Page, error) {
	if m != nil && m.GetDeadline() == nil && deadline(ctx) != nil {
		m = proto.CloneOf(m)
		m.Deadline = deadline(ctx)
	}
	page, _, err := call[*messages.Page](ctx, t, m, nil)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return page, nil
}

// Walk calls each for every entry of m, whose limit is ignored, as of one instant, on the caller's goroutine. A
// nil m is the whole table.
// It ends at each's first error, which it returns. The slices belong to each.
func (t *Table) Walk(ctx context.Context, m *messages.Scan, each func(key, value []byte) error) error {
	if err := t.walk(ctx, m, 0, each); err != nil {
		return fmt.Errorf("walk: %w", err)
	}
	return nil
}

// walk is Walk with a first page of up to first entries, and pages that grow from there; zero is no limit.
func (t *Table) walk(ctx context.Context, m *messages.Scan, first uint32, each func(key, value []byte) error) (err error) {
	snapshot, err := t.snapshot(ctx)
	if err != nil {
		return err
	}
	// Also when each panics.
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	page := func(scan *messages.Scan) (*messages.Page, error) {
		page, err := snapshot.Page(scan)
		if err != nil {
			return nil, t.readFailure(err)
		}
		return page, nil
	}
	return pages(ctx, page, m, first, each)
}

func (t *Table) readFailure(err error) *messages.Failure {
	if c := t.cell(); c != nil {
		return c.readers.failure(err)
	}
	return droppedFailure(t.name)
}

// pages calls each for every entry of the pages that read returns, the first one of up to first entries.
func pages(ctx context.Context, read func(*messages.Scan) (*messages.Page, error), m *messages.Scan, first uint32,
	each func(key, value []byte) error) error {
	scan := &messages.Scan{}
	if m != nil {
		scan = proto.CloneOf(m)
	}
	scan.Limit = first
	for {
		page, err := read(scan)
		if err != nil {
			return err
		}
		for _, entry := range page.GetEntries() {
			if err := each(entry.GetKey(), entry.GetValue()); err != nil {
				return err
			}
		}
		scan.Limit = min(scan.GetLimit(), math.MaxUint32/8) * 8
		switch {
		case len(page.GetNext()) == 0:
			return nil
		case ctx.Err() != nil:
			return contextError(ctx)
		case scan.GetReverse():
			scan.End = page.GetNext()
		default:
			scan.Start = page.GetNext()
		}
	}
}

// snapshot gets a durable snapshot through the owner, in the order of this handle's calls.
func (t *Table) snapshot(ctx context.Context) (*store.Snapshot, error) {
	snapshot, _, err := call[*store.Snapshot](ctx, t, &snapshotRequest{}, func(late any) {
		// Left open, it would keep what is deleted from being removed.
		if s, ok := late.(*store.Snapshot); ok {
			_ = s.Close()
		}
	})
	return snapshot, err
}

func deadline(ctx context.Context) *timestamppb.Timestamp {
	if at, ok := ctx.Deadline(); ok {
		return timestamppb.New(at)
	}
	return nil
}
