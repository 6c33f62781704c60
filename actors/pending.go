package actors

import (
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gabiondb/gabion/messages"
)

// submit adds an entry, or answers its request at once when it cannot. Called by the owner's goroutine and
// by readers.
func (m *committer) submit(e *entry) {
	if failure := m.append(e); failure != nil {
		e.answer(failure)
	}
}

// accepts returns why an entry is refused, nil when it is not.
func (m *committer) accepts(e *entry) *messages.Failure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refuses(e)
}

// refuses is accepts with mu held.
func (m *committer) refuses(e *entry) *messages.Failure {
	limits := m.cell.tree.config
	switch {
	case m.failed != nil:
		return unavailable(m.cell.name, "table is reopening after a fault; the request was not carried out", retrySoon)
	case m.closing:
		return unavailable(m.cell.name, "table is closing; the request was not carried out", retrySoon)
	case m.stall:
		return m.cell.stallFailure("the request was not carried out")
	case e.kind == writeEntry && m.cell.dropping.Load():
		// Here, with mu held: what comes in before is in the commit order before the cut of the last backup.
		return unavailable(m.cell.name, "table is being dropped; nothing was written", retryLate)
	case len(m.pending) > m.head && e.kind != cutEntry &&
		(m.ops+max(1, len(e.ops)) > limits.MaxPendingOps || m.bytes+int64(e.bytes) > limits.MaxPendingBytes):
		return messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED,
			"%d operations and %d B wait already; nothing was written", m.ops, m.bytes).
			Of(m.cell.name).After(retrySoon).Advise("send slower, or raise MaxPendingOps and MaxPendingBytes")
	}
	return nil
}

func (m *committer) append(e *entry) *messages.Failure {
	m.mu.Lock()
	defer m.mu.Unlock()
	if failure := m.refuses(e); failure != nil {
		return failure
	}
	m.pending = append(m.pending, e)
	e.taken.Store(true)
	m.ops += max(1, len(e.ops))
	m.bytes += int64(e.bytes)
	if e.kind == writeEntry {
		for i := range e.ops {
			if e.ops[i].kind != rangeOperation {
				m.touched[e.ops[i].hash]++
			}
		}
		if e.isRange {
			m.ranges++
		}
		m.unacked.Add(1)
	}
	m.wake.Signal()
	return nil
}

// untouch forgets that a write may change its keys: it is durable, or was never carried out. mu is held.
func (m *committer) untouch(e *entry) {
	if e.kind != writeEntry {
		return
	}
	for i := range e.ops {
		if e.ops[i].kind == rangeOperation {
			continue
		}
		h := e.ops[i].hash
		if n := m.touched[h]; n > 1 {
			m.touched[h] = n - 1
		} else {
			delete(m.touched, h)
		}
	}
	if e.isRange {
		m.ranges--
	}
	m.unacked.Add(-1)
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

// take waits for pending requests and removes the next group of them; nil ends the committer.
func (m *committer) take() *group {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.closing && m.failed == nil && (len(m.pending) == m.head || !m.gather.ready(len(m.inFlight), m.ops)) {
		m.wake.Wait()
	}
	m.gather.taken()
	if len(m.pending) == m.head || m.failed != nil {
		return nil // fail refused what was pending
	}
	g := &group{entries: slices.Clone(m.pending[m.head : m.head+m.groupSize()]), taken: time.Now()}
	for _, e := range g.entries {
		m.ops -= max(1, len(e.ops))
		m.bytes -= int64(e.bytes)
	}
	m.drop(len(g.entries))
	if g.entries[0].kind != cutEntry {
		m.inFlight[g] = struct{}{}
	}
	return g
}

// groupSize is how many of the pending requests the next group carries. mu is held, and something is pending.
func (m *committer) groupSize() int {
	n, bytes := 0, 0
	for _, e := range m.pending[m.head:] {
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
	return n
}

// drop removes the first n pending requests. What follows is moved only once it is the smaller part, so that a
// long queue is not copied for each group. mu is held.
func (m *committer) drop(n int) {
	clear(m.pending[m.head : m.head+n])
	m.head += n
	if rest := len(m.pending) - m.head; rest <= m.head {
		copy(m.pending, m.pending[m.head:])
		clear(m.pending[m.head:])
		m.pending, m.head = m.pending[:rest], 0
	}
}

// pendingOps is how many operations wait for their commit.
func (m *committer) pendingOps() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// gathered is the timer's: what is pending is a group.
func (m *committer) gathered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gather.due = m.gather.waits // unless a group was taken in this instant
	m.wake.Signal()
}
