package actors

import (
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

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
	// groupBytes is the most one group holds, unless one request alone is larger.
	groupBytes int

	mu      sync.Mutex
	wake    sync.Cond // the committer's goroutine waits for something pending
	drained sync.Cond // the committer's goroutine waits for inFlight to be empty
	pending []*entry
	ops     int
	bytes   int64
	// inFlight holds the groups taken and not yet answered.
	inFlight map[*group]struct{}
	closing  bool  // nothing more is accepted; what is pending is committed
	failed   error // nothing more is committed; what is pending is refused
	// touched counts, by hash of the key, the writes that are not yet acknowledged. Two keys of one hash only
	// send a read the longer way.
	touched map[uint64]uint32
	// ranges counts the requests with a DeleteRange that are not yet acknowledged: they touch every key.
	ranges int

	// unacked counts the writes that are not yet acknowledged. It is raised before a write can be
	// applied and lowered after its fsync, so a reader that finds zero after its read has seen nothing else.
	unacked atomic.Int64

	stopped chan struct{}
}

func newCommitter(c *cell, s *store.Store, groupBytes int) *committer {
	m := &committer{
		cell:       c,
		store:      s,
		groupBytes: groupBytes,
		inFlight:   make(map[*group]struct{}),
		touched:    make(map[uint64]uint32),
		stopped:    make(chan struct{}),
	}
	m.wake.L, m.drained.L = &m.mu, &m.mu
	m.acker = newAcker(m)
	go m.run()
	go m.acker.run()
	return m
}

// submit adds an entry, or answers its request at once when it cannot. Called by the owner's goroutine and
// by readers.
func (m *committer) submit(e *entry) {
	if failure := m.append(e); failure != nil {
		e.answer(failure)
	}
}

func (m *committer) append(e *entry) *messages.Failure {
	limits := m.cell.tree.config
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.failed != nil:
		return unavailable(m.cell.name, "table is reopening after a fault; nothing was written", retrySoon)
	case m.closing:
		return unavailable(m.cell.name, "table is closing; nothing was written", retrySoon)
	case len(m.pending) > 0 && e.kind != cutEntry &&
		(m.ops+max(1, len(e.ops)) > limits.MaxPendingOps || m.bytes+int64(e.bytes) > limits.MaxPendingBytes):
		return messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED,
			"%d operations and %d B wait already; nothing was written", m.ops, m.bytes).
			Of(m.cell.name).After(retrySoon).Advise("send slower, or raise MaxPendingOps and MaxPendingBytes")
	}
	m.pending = append(m.pending, e)
	e.taken.Store(true)
	m.ops += max(1, len(e.ops))
	m.bytes += int64(e.bytes)
	if e.kind == writeEntry {
		for _, h := range e.hashes {
			m.touched[h]++
		}
		if e.isRange {
			m.ranges++
		}
		m.unacked.Add(1)
	}
	m.wake.Signal()
	return nil
}

// touches tells whether a write that is not yet acknowledged may change key.
func (m *committer) touches(key []byte) bool {
	if m.unacked.Load() == 0 {
		return false
	}
	h := xxhash.Sum64(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ranges > 0 || m.touched[h] > 0
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
		if g.entries[0].kind == cutEntry {
			m.cut(g.entries[0])
			continue
		}
		if !m.commit(g) {
			return
		}
	}
}

// take waits for pending requests and removes the next group of them; nil ends the committer.
func (m *committer) take() *group {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.pending) == 0 && !m.closing && m.failed == nil {
		m.wake.Wait()
	}
	if m.failed != nil {
		m.refusePending()
		return nil
	}
	if len(m.pending) == 0 {
		return nil
	}
	n, bytes := 0, 0
	for n < len(m.pending) {
		e := m.pending[n]
		alone := e.kind == cutEntry || e.isRange
		if n > 0 && (alone || bytes+e.bytes > m.groupBytes) {
			break
		}
		n++
		bytes += e.bytes
		if alone {
			break
		}
	}
	g := &group{entries: make([]*entry, n)}
	copy(g.entries, m.pending)
	rest := copy(m.pending, m.pending[n:])
	clear(m.pending[rest:])
	m.pending = m.pending[:rest]
	for _, e := range g.entries {
		m.ops -= max(1, len(e.ops))
		m.bytes -= int64(e.bytes)
	}
	if g.entries[0].kind != cutEntry {
		m.inFlight[g] = struct{}{}
	}
	return g
}

// commit applies one group and hands it to the acker; false ends the committer.
func (m *committer) commit(g *group) bool {
	g.err = errors.New("committer panicked")
	// After a panic, too, the acker has to answer the group.
	defer func() { m.acker.groups <- g }()
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
	for _, e := range g.entries {
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

func (m *committer) carryOut(g *store.Group, e *entry, now time.Time) error {
	if e.expired(now) {
		e.reply = expiredFailure(m.cell.name)
		return nil
	}
	switch e.kind {
	case writeEntry:
		return m.write(g, e)
	case getEntry:
		value, found, err := g.Get(e.message.(*messages.Get).GetKey())
		if err != nil {
			return err
		}
		e.reply = &messages.Value{Found: found, Value: value, Seq: g.Seq()}
	}
	return nil
}

func (m *committer) write(g *store.Group, e *entry) error {
	if w, ok := e.message.(*messages.Write); ok && len(w.GetConditions()) > 0 {
		refusal, err := g.Refuses(w.GetConditions())
		if err != nil {
			return err
		}
		if refusal != nil {
			e.reply = refusal.Of(m.cell.name)
			return nil
		}
	}
	for _, op := range e.ops {
		var err error
		switch o := op.GetOp().(type) {
		case *messages.Op_Put:
			err = g.Put(o.Put.GetKey(), o.Put.GetValue())
		case *messages.Op_Delete:
			err = g.Delete(o.Delete.GetKey())
		case *messages.Op_DeleteRange:
			err = g.DeleteRange(o.DeleteRange.GetStart(), o.DeleteRange.GetEnd(), nil)
		}
		if err != nil {
			return err
		}
	}
	e.reply = &messages.Committed{Seq: g.Seq()}
	return nil
}

// fail stops all commits after a fault; the store is frozen, so that nothing more can be acknowledged.
func (m *committer) fail(cause error, stack []byte) {
	m.store.Freeze(cause)
	m.mu.Lock()
	first := m.failed == nil
	if first {
		m.failed = cause
		m.refusePending()
	}
	m.wake.Signal()
	m.drained.Signal()
	m.mu.Unlock()
	if first {
		if stack != nil {
			m.cell.logger.Error("goroutine panicked: the store is frozen", "reason", cause, "stack", string(stack))
		}
		m.cell.faulted(cause)
	}
}

// refusePending answers what was never applied. mu is held; answers may not wait for it.
func (m *committer) refusePending() {
	for _, e := range m.pending {
		e.answer(unavailable(m.cell.name, "table failed before the request was carried out; nothing was written", retrySoon))
		m.ops -= max(1, len(e.ops))
		m.bytes -= int64(e.bytes)
	}
	clear(m.pending)
	m.pending = m.pending[:0]
}

// close refuses new requests, commits and answers what is pending, and waits until both goroutines are gone.
func (m *committer) close() {
	m.mu.Lock()
	m.closing = true
	m.wake.Signal()
	m.mu.Unlock()
	<-m.stopped
	<-m.acker.stopped
}

// release ends a group that was answered. The keys of one that failed stay touched: a reader must not
// find in the store what was never acknowledged.
func (m *committer) release(g *group, acknowledged bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.inFlight, g)
	if len(m.inFlight) == 0 {
		m.drained.Signal()
	}
	if !acknowledged {
		return
	}
	for _, e := range g.entries {
		if e.kind != writeEntry {
			continue
		}
		for _, h := range e.hashes {
			if m.touched[h]--; m.touched[h] == 0 {
				delete(m.touched, h)
			}
		}
		if e.isRange {
			m.ranges--
		}
		m.unacked.Add(-1)
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

// pendingOps is how many operations wait for their commit.
func (m *committer) pendingOps() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}
