package actors

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// committer commits the writes of one open store, in groups, one after another: it takes what is pending,
// applies it as one batch, hands it to the acker and takes what has gathered meanwhile. A read whose key is
// touched by a write that is not yet acknowledged joins the pending requests, and so do a
// scan beside any such write, and a cut.
type committer struct {
	cell  *cell
	store *store.Store
	acker *acker
	// faults gets why the store must be closed.
	faults chan<- error
	// groupBytes is the most one group holds, unless one request alone is larger.
	groupBytes int

	mu      sync.Mutex
	wake    sync.Cond // the committer's goroutine waits for something pending
	drained sync.Cond // the committer's goroutine waits for inFlight to be empty
	pending []*entry  // from head on
	head    int
	ops     int
	bytes   int64
	// inFlight holds the groups taken and not yet answered.
	inFlight map[*group]struct{}
	gather   gather
	closing  bool  // nothing more is accepted; what is pending is committed
	failed   error // nothing more is committed; what is pending is refused
	stall    bool  // nothing is accepted until the disk answers
	// touched counts, by hash of the key, the writes that are not yet acknowledged. Two keys of one hash only
	// send a read the longer way.
	touched map[uint64]uint32
	// ranges counts the requests with a DeleteRange that are not yet acknowledged: they touch every key.
	ranges int

	// unacked counts the writes that are not yet acknowledged. It is raised before a write can be
	// applied and lowered after its fsync, so a reader that finds zero after its read has seen nothing else.
	unacked atomic.Int64

	// committing watches the group or cut in the committer's hands, acking the groups that wait for their fsync: neither
	// hides that the other makes no progress.
	committing, acking watch
	// full is set while writes are refused for want of room.
	full atomic.Bool
	// keys is room for those of a group. The committer's alone.
	keys [][]byte
	// refuse is why the group under way writes nothing, nil when it may. The committer's alone.
	refuse *messages.Failure

	stopped chan struct{}
}

func newCommitter(c *cell, s *store.Store, faults chan<- error, groupBytes int) *committer {
	m := &committer{
		cell:       c,
		store:      s,
		faults:     faults,
		groupBytes: groupBytes,
		inFlight:   make(map[*group]struct{}),
		touched:    make(map[uint64]uint32),
		stopped:    make(chan struct{}),
	}
	m.wake.L, m.drained.L = &m.mu, &m.mu
	m.gather.wake = m.gathered
	m.committing = watch{born: time.Now(), after: c.tree.config.StallAfter, stalled: m.stalled, resumed: m.resumed}
	m.acking = watch{born: time.Now(), after: c.tree.config.StallAfter, stalled: m.stalled, resumed: m.resumed}
	m.acker = newAcker(m)
	go m.run()
	go m.acker.run()
	if s.Recounts() {
		go m.recount()
	}
	return m
}

// run is the committer's goroutine. A panic freezes the store: a group may be half applied.
func (m *committer) run() {
	defer close(m.stopped)
	defer close(m.acker.groups)
	defer func() {
		if reason := recover(); reason != nil {
			m.fail(fmt.Errorf("committer panicked: %v", reason), debug.Stack())
		}
	}()
	for {
		g := m.take()
		if g == nil {
			return
		}
		m.committing.begin()
		goesOn := true
		if g.entries[0].kind == cutEntry {
			m.cut(g.entries[0])
		} else {
			goesOn = m.commit(g)
		}
		m.committing.done()
		if !goesOn {
			return
		}
	}
}

// commit applies one group and hands it to the acker; false ends the committer.
func (m *committer) commit(g *group) bool {
	g.err = errCommitterPanicked
	// After a panic, too, the acker has to answer the group.
	defer func() {
		m.acking.begin()
		m.acker.groups <- g
	}()
	if err := m.apply(g); err != nil {
		g.err = err
		m.fail(err, nil)
		return false
	}
	for _, e := range g.entries {
		if e.scans() && e.reply == nil {
			// Before the next group is applied: the page must not show more than what is durable when
			// the acker reaches this group.
			snapshot, err := m.store.Snapshot()
			if err != nil {
				e.reply = messages.FailureOf(err).Of(m.cell.name)
				continue
			}
			e.snapshot = snapshot
		}
	}
	g.err = nil
	return true
}

var errCommitterPanicked = errors.New("committer panicked")

// apply carries out the group's requests in order and applies what they make. On an error nothing was
// written, unless g.applied is set.
func (m *committer) apply(g *group) error {
	batch, err := m.store.Begin()
	if err != nil {
		return err
	}
	applied := false
	defer func() {
		if !applied {
			batch.Abandon()
		}
	}()
	now := time.Now()
	m.refuse = nil
	if _, short := m.cell.tree.space.short(); short {
		m.refuse = m.cell.fullFailure()
	}
	if err := m.readAhead(batch, g); err != nil {
		return err
	}
	for i, e := range g.entries {
		if i%256 == 255 {
			m.committing.step() // each may read what it replaces from a cold disk
		}
		if err := m.carryOut(batch, e, now); err != nil {
			return err
		}
	}
	if batch.Empty() {
		return nil
	}
	g.applied = true
	if g.commit, err = m.store.Apply(batch); err != nil {
		return err
	}
	applied = true
	return nil
}

// mostKeys bounds the room for keys that is kept for the next group.
const mostKeys = 1 << 16

// readAhead has what the group's writes replace read at once; those that a condition will refuse are among them.
func (m *committer) readAhead(batch *store.Group, g *group) error {
	if !batch.Counts() || m.refuse != nil {
		return nil
	}
	keys := m.keys[:0]
	for _, e := range g.entries {
		for i := range e.ops {
			if o := &e.ops[i]; o.kind == putOperation || o.kind == deleteOperation {
				o.ahead = len(keys)
				keys = append(keys, o.key)
			}
		}
	}
	err := batch.ReadAhead(keys, m.committing.step)
	clear(keys)
	if m.keys = keys; cap(keys) > mostKeys {
		m.keys = nil
	}
	return err
}

func (m *committer) carryOut(g *store.Group, e *entry, now time.Time) error {
	if e.expired(now) {
		e.reply = expiredFailure(m.cell.name)
		return nil
	}
	switch e.kind {
	case writeEntry:
		return m.write(g, e)
	case getEntry:
		value, found, err := g.Get(e.one[0].key)
		if err != nil {
			return err
		}
		e.reply = &messages.Value{Found: found, Value: value, Seq: g.Seq()}
	}
	return nil
}

func (m *committer) write(g *store.Group, e *entry) error {
	if !e.claim() {
		e.reply = messages.Failf(messages.Code_CODE_CANCELLED, "sender gave up before the commit; nothing was written").Of(m.cell.name)
		return nil
	}
	if m.refuse != nil {
		m.fill()
		e.reply = proto.CloneOf(m.refuse)
		return nil
	}
	refusal, err := g.Refuses(e.conditions)
	if err != nil {
		return err
	}
	if refusal != nil {
		e.reply = refusal.Of(m.cell.name)
		return nil
	}
	var previous []*messages.Previous
	for _, op := range e.ops {
		if op.wantPrevious {
			value, found, err := g.Get(op.key)
			if err != nil {
				return err
			}
			previous = append(previous, &messages.Previous{Found: found, Value: value})
		}
		g.Ahead(op.ahead)
		if err := applyOp(g, op, m.committing.step); err != nil {
			return err
		}
	}
	e.reply = &messages.Committed{Seq: g.Seq(), Previous: previous}
	return nil
}

// applyOp carries out one operation; progress, unless nil, is called now and then.
func applyOp(g *store.Group, o operation, progress func()) error {
	switch o.kind {
	case putOperation:
		return g.Put(o.key, o.value)
	case deleteOperation:
		return g.Delete(o.key)
	case rangeOperation:
		return g.DeleteRange(o.key, o.value, progress)
	}
	return nil
}

// fail stops all commits after a fault; the store is frozen, so that nothing more can be acknowledged. What was
// never applied is refused.
func (m *committer) fail(cause error, stack []byte) {
	m.store.Freeze(cause)
	m.committing.end()
	m.acking.end()
	m.mu.Lock()
	first := m.failed == nil
	m.failed = cmp.Or(m.failed, cause)
	refused := m.pending[m.head:]
	m.pending, m.head, m.ops, m.bytes = nil, 0, 0, 0
	m.wake.Signal()
	m.drained.Signal()
	m.mu.Unlock()
	for _, e := range refused {
		e.answer(unavailable(m.cell.name, "table failed before the request was carried out; nothing was written", retrySoon))
	}
	if !first {
		return
	}
	if stack != nil {
		m.cell.logger.Error("goroutine panicked: the store is frozen", "reason", cause, "stack", string(stack))
	}
	m.faulted(cause)
}

// faulted has the keeper close the store and open it again. Called by whichever goroutine met the fault.
func (m *committer) faulted(cause error) { report(m.faults, cause) }

// close refuses new requests, commits and answers what is pending, and waits until both goroutines are gone.
func (m *committer) close() {
	m.mu.Lock()
	m.closing = true
	m.wake.Signal()
	m.mu.Unlock()
	<-m.stopped
	<-m.acker.stopped
	m.committing.end()
	m.acking.end()
}

// release ends a group that was answered. The keys of one that failed stay touched: a reader must not
// find in the store what was never acknowledged.
func (m *committer) release(g *group, acknowledged bool) {
	defer m.acking.done()
	took := time.Since(g.taken)
	if acknowledged && g.commit != nil {
		m.cell.stats.committed(g.operations(), took)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.inFlight, g)
	m.gather.answered(took)
	m.wake.Signal()
	if len(m.inFlight) == 0 {
		m.drained.Signal()
	}
	if !acknowledged {
		return
	}
	for _, e := range g.entries {
		m.untouch(e)
	}
}

// abandon answers everything that waits, without waiting itself, when the time to stop is over. The
// goroutines end when the call they hang in returns.
func (m *committer) abandon() {
	cause := errors.New("table was stopped before the request was durable")
	m.fail(cause, nil)
	m.mu.Lock()
	groups := slices.Collect(maps.Keys(m.inFlight))
	m.mu.Unlock()
	for _, g := range groups {
		for _, e := range g.entries {
			e.answer(undurable(e, m.cell.name, cause, true))
		}
	}
}
