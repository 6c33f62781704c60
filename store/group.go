package store

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// Group is the writes that one Pebble batch carries, and what the table looks like with them. It is
// used by the committer alone. The keys and values given to it must not change until its Commit
// is done.
type Group struct {
	s     *Store
	batch *pebble.Batch // nil until the first operation
	next  *messages.TableRecord

	// counts is set when each operation reads what it replaces; changed is what the operations so far did.
	counts  bool
	changed Sums

	// What the operations so far did, over the store below: keys first, then removed ranges. A key that was
	// put after its range was removed is in overlay. A group that does not count leaves the operations from the
	// batch's offset folded on to the next read.
	overlay map[string]overlaid
	removed []keyRange
	folded  int

	// ahead is what was read ahead; known is that of the next operation's key.
	ahead []prior
	known *prior
}

type overlaid struct {
	value []byte
	found bool
}

type keyRange struct{ start, end []byte }

func (r keyRange) covers(key []byte) bool {
	return bytes.Compare(r.start, key) <= 0 && bytes.Compare(key, r.end) < 0
}

// Begin starts a group over the newest applied one. The store must be entered until Apply or Abandon.
func (s *Store) Begin() (*Group, error) {
	if s.fs == nil {
		return nil, messages.WithHint(errors.New("store is read-only"), "open the directory with a host that may write")
	}
	if !s.handle.enter() {
		return nil, ErrClosed
	}
	g := s.spare
	if g == nil {
		g = &Group{s: s, overlay: make(map[string]overlaid)}
	}
	s.spare = nil
	g.next, g.counts = successor(s.Record()), s.accounting.counts()
	return g, nil
}

// mostSpare bounds the keys of a group whose room the next one uses.
const mostSpare = 1 << 16

// spareRoom lets the next group have the memory of one that nobody uses any more.
func (g *Group) spareRoom() {
	if len(g.overlay) > mostSpare {
		return
	}
	overlay, removed := g.overlay, g.removed[:0]
	clear(overlay)
	clear(g.removed)
	*g = Group{s: g.s, overlay: overlay, removed: removed, ahead: g.ahead[:0]}
	g.s.spare = g
}

// Abandon drops a group that will not be applied.
func (g *Group) Abandon() {
	if g.batch != nil {
		_ = g.batch.Close()
	}
	s := g.s
	g.spareRoom()
	s.handle.leave()
}

// Empty tells whether the group has nothing to write: no operation, and nothing new for the table's record.
func (g *Group) Empty() bool { return g.batch == nil && !g.s.accounting.owes(g) }

// Seq is the table's seq after the operations so far.
func (g *Group) Seq() uint64 { return g.next.GetPosition().GetSeq() }

// Get returns key's value after the operations so far. The value must not be changed.
func (g *Group) Get(key []byte) (value []byte, found bool, err error) {
	if err := g.fold(); err != nil {
		return nil, false, err
	}
	if o, ok := g.overlay[string(key)]; ok {
		if !g.counts {
			// It lies in the batch, whose memory Pebble uses again.
			return bytes.Clone(o.value), o.found, nil
		}
		return o.value, o.found, nil
	}
	for _, r := range g.removed {
		if r.covers(key) {
			return nil, false, nil
		}
	}
	return g.s.get(g.s.db, key)
}

// Put adds the operation that stores value under key.
func (g *Group) Put(key, value []byte) error {
	if g.counts {
		if err := g.account(key, overlaid{value: value, found: true}); err != nil {
			return err
		}
	}
	var buf [128]byte
	return g.operation().Set(userKey(buf[:0], key), value, nil)
}

// Delete adds the operation that removes key.
func (g *Group) Delete(key []byte) error {
	if g.counts {
		if err := g.account(key, overlaid{}); err != nil {
			return err
		}
	}
	var buf [128]byte
	return g.operation().Delete(userKey(buf[:0], key), nil)
}

// DeleteRange adds the operation that removes every key in [start, end). A group that counts reads the range;
// progress, unless nil, is called at least once per block read.
func (g *Group) DeleteRange(start, end []byte, progress func()) error {
	if g.counts {
		if err := g.accountRange(start, end, progress); err != nil {
			return err
		}
		g.cover(keyRange{start: bytes.Clone(start), end: bytes.Clone(end)})
	}
	return g.operation().DeleteRange(userKey(nil, start), userKey(nil, end), nil)
}

// accountRange takes every row in [start, end) from the sums.
func (g *Group) accountRange(start, end []byte, progress func()) error {
	iter, err := g.s.db.NewIter(&pebble.IterOptions{LowerBound: userKey(nil, start), UpperBound: userKey(nil, end)})
	if err != nil {
		return fmt.Errorf("read range: %w", g.s.readError(err))
	}
	for valid := iter.First(); valid; valid = iter.Next() {
		if progress != nil {
			progress()
		}
		key := iter.Key()[1:]
		if _, seen := g.overlay[string(key)]; seen || g.isRemoved(key) {
			continue
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return errors.Join(fmt.Errorf("read range: %w", g.s.readError(err)), iter.Close())
		}
		g.forget(key, value)
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return fmt.Errorf("read range: %w", g.s.readError(err))
	}
	r := keyRange{start, end}
	for key, o := range g.overlay {
		if o.found && r.covers([]byte(key)) {
			g.forget([]byte(key), o.value)
		}
	}
	return nil
}

// cover removes a range from the overlay.
func (g *Group) cover(r keyRange) {
	for key := range g.overlay {
		if r.covers([]byte(key)) {
			g.overlay[key] = overlaid{}
		}
	}
	g.removed = append(g.removed, r)
}

// fold brings the overlay of a group that does not count up to its last operation.
func (g *Group) fold() error {
	if g.counts || g.batch == nil {
		return nil
	}
	operations := g.batch.Reader()[g.folded:]
	unread := len(operations)
	for {
		kind, key, value, ok, err := operations.Next()
		if err != nil {
			return fmt.Errorf("read batch: %w", err)
		}
		if !ok {
			g.folded += unread
			return nil
		}
		switch kind {
		case pebble.InternalKeyKindSet:
			g.overlay[string(key[1:])] = overlaid{value: value, found: true}
		case pebble.InternalKeyKindDelete:
			g.overlay[string(key[1:])] = overlaid{}
		case pebble.InternalKeyKindRangeDelete:
			g.cover(keyRange{start: key[1:], end: value[1:]})
		}
	}
}

func (g *Group) isRemoved(key []byte) bool {
	for _, r := range g.removed {
		if r.covers(key) {
			return true
		}
	}
	return false
}

// operation returns the batch for one more operation, and counts it.
func (g *Group) operation() *pebble.Batch {
	if g.batch == nil {
		g.batch = g.s.db.NewBatch()
	}
	g.next.Position.Seq++
	g.known = nil // of this operation, and no other
	return g.batch
}

// account replaces key's value in the overlay and in the sums.
func (g *Group) account(key []byte, now overlaid) error {
	known := g.known
	old, seen := g.overlay[string(key)]
	switch {
	case seen:
		if old.found {
			g.forget(key, old.value)
		}
	case g.isRemoved(key):
	default:
		if known == nil {
			before, err := g.s.prior(key)
			if err != nil {
				return err
			}
			known = &before
		}
		if known.found {
			g.changed.Count--
			g.changed.LiveBytes -= known.bytes
			g.changed.Fingerprint -= known.fingerprint
		}
	}
	if now.found {
		g.changed.Count++
		g.changed.LiveBytes += uint64(len(key) + len(now.value))
		g.changed.Fingerprint += g.s.fingerprint.Row(key, now.value)
	}
	g.overlay[string(key)] = now
	return nil
}

func (g *Group) forget(key, value []byte) {
	g.changed.Count--
	g.changed.LiveBytes -= uint64(len(key) + len(value))
	g.changed.Fingerprint -= g.s.fingerprint.Row(key, value)
}

// SetSchemaVersion adds the operation that changes the user's schema version in the table's record.
func (g *Group) SetSchemaVersion(version uint64) {
	g.operation()
	g.next.SchemaVersion = version
}

// Refuses returns why the conditions do not hold after the operations so far, nil when they do.
func (g *Group) Refuses(conditions []*messages.Condition) (*messages.Failure, error) {
	for i, c := range conditions {
		value, found, err := g.Get(c.GetKey())
		if err != nil {
			return nil, err
		}
		text := ""
		switch want := c.GetWant().(type) {
		case *messages.Condition_Absent:
			if found {
				text = "is present, wanted absent"
			}
		case *messages.Condition_Equals:
			if !found {
				text = "is absent, wanted a value"
			} else if !bytes.Equal(value, want.Equals) {
				text = "has another value than wanted"
			}
		}
		if text != "" {
			return messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "condition %d: key %q %s", i, c.GetKey(), text).
				Advise("read the key again and decide anew; nothing was written"), nil
		}
	}
	return nil, nil
}

// Commit is an applied group on its way to the disk.
type Commit struct {
	s     *Store
	batch *pebble.Batch
	seq   uint64
}

// Apply writes the group, with the record that describes it, and returns before it is durable: the group is not to be used
// any more. Readers of the store see it from now on. After an error the group must be abandoned and the store frozen: the
// group may be applied all the same. A group that is Empty must be abandoned, not applied.
func (s *Store) Apply(g *Group) (*Commit, error) {
	if !s.dirty {
		// Durable before the first group can be: a crash after it must find an unclean mark.
		if err := s.mark.stamp(s.acked.Load(), false); err != nil {
			return nil, err
		}
		s.dirty = true
	}
	if g.batch != nil {
		g.next.Position.Incarnation = s.incarnation
		g.next.Committed = time.Now().UnixNano()
	} else {
		// The record alone. Its position stays: it names the same rows.
		g.batch = s.db.NewBatch()
	}
	s.accounting.settle(g)
	var err error
	if s.marshalled, err = marshalRecord(s.marshalled[:0], g.next); err != nil {
		return nil, err
	}
	if err := g.batch.Set(recordKey, s.marshalled, nil); err != nil {
		return nil, fmt.Errorf("add table record: %w", err)
	}
	// From here on the batch is Pebble's until its SyncWait: Abandon must not close it.
	batch := g.batch
	g.batch = nil
	// Not Apply with Sync: Pebble answers a failed fsync of that with Fatalf.
	if err := s.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		return nil, fmt.Errorf("apply group: %w", err)
	}
	s.setRecord(g.next)
	c := &Commit{s: s, batch: batch, seq: g.Seq()}
	g.spareRoom()
	return c, nil
}

// Wait returns nil once the group is durable and may be acknowledged. Commits must be waited for in the
// order of their Apply, by one goroutine, each once.
func (c *Commit) Wait() error {
	defer c.s.handle.leave()
	if err := c.batch.SyncWait(); err != nil {
		c.s.Freeze(err)
		return fmt.Errorf("sync group: %w", err)
	}
	// The flag is set before a failing sync returns, so an unset one proves that this group's did not fail.
	if c.s.Frozen() {
		return fmt.Errorf("%w: %w", ErrFrozen, c.s.FrozenBy())
	}
	_ = c.batch.Close()
	c.s.acked.Store(c.seq)
	c.s.mark.advance(c.seq)
	return nil
}

func marshalRecord(buf []byte, r *messages.TableRecord) ([]byte, error) {
	data, err := proto.MarshalOptions{}.MarshalAppend(buf, r)
	if err != nil {
		return nil, fmt.Errorf("marshal table record: %w", err)
	}
	return data, nil
}
