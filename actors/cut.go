package actors

import (
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// flushesAtOnce bounds the flushes before cuts that run at once: those that hang must not take all of the readers.
const flushesAtOnce = 2

// cut takes a Cut from the coordinator. The flush that makes the cut small runs beside the commits; then the
// cut takes its place in the commit order.
func (c *cell) cut(e *entry) {
	m := c.serving.Load()
	if m == nil {
		e.answer(c.refusal())
		return
	}
	if m.store.ReadOnly() {
		e.answer(c.fullFailure())
		return
	}
	if failure := m.accepts(e); failure != nil {
		e.answer(failure)
		return
	}
	c.readers.start(e, func() *committer {
		defer c.flushing.Add(-1)
		if c.flushing.Add(1) > flushesAtOnce {
			e.answer(unavailable(c.name, "the flushes of earlier cuts have not ended yet", retryLate).Advise(stalledHint))
			return nil
		}
		have := e.message.(*messages.Cut).GetHave()
		if !proto.Equal(m.store.Record().GetPosition(), have) {
			// A flush that meets the end of the disk would close a table that can still be read and written to.
			if _, short := c.tree.space.short(); short {
				e.answer(c.fullFailure())
				return nil
			}
			if err := m.store.Flush(); err != nil {
				e.answer(messages.FailureOf(err).Of(c.name))
				return nil
			}
		}
		return m
	})
}

// cut captures the table between two groups: after every group before it was answered, and before
// the next one is taken.
func (m *committer) cut(e *entry) {
	defer func() {
		if reason := recover(); reason != nil {
			e.answer(messages.Failf(messages.Code_CODE_INTERNAL, "cut panicked: %v", reason).Of(m.cell.name))
			panic(reason)
		}
	}()
	request := e.message.(*messages.Cut)
	m.mu.Lock()
	for len(m.inFlight) > 0 && m.failed == nil {
		m.drained.Wait()
	}
	failed := m.failed
	m.mu.Unlock()
	if failed != nil {
		e.answer(unavailable(m.cell.name, "table failed before the cut: "+failed.Error(), retrySoon))
		return
	}
	content, err := m.store.Content()
	if err != nil {
		e.answer(messages.FailureOf(err).Of(m.cell.name))
		return
	}
	have := store.Content{Record: request.GetHaveRecord(), SSTables: request.GetHaveSstables()}
	if proto.Equal(request.GetHave(), have.Record.GetPosition()) && content.Same(have) {
		e.answer(&messages.CutDone{RunId: request.GetRunId(), Unchanged: true, Record: proto.CloneOf(content.Record), Sstables: content.SSTables})
		return
	}
	staging := m.cell.tree.directory.Staging(request.GetRunId(), m.cell.name)
	record, err := m.store.Cut(staging)
	if err != nil {
		if m.store.Frozen() {
			m.fail(err, nil)
		}
		e.answer(messages.FailureOf(err).Of(m.cell.name))
		return
	}
	done := &messages.CutDone{RunId: request.GetRunId(), Staging: staging, Record: record, Sstables: content.SSTables}
	if record.GetAccounting() != messages.Accounting_ACCOUNTING_AT_CUT {
		e.answer(done)
		return
	}
	// No group was applied since: the snapshot shows what was cut.
	if e.snapshot, err = m.store.Snapshot(); err != nil {
		e.answer(messages.FailureOf(err).Of(m.cell.name))
		return
	}
	e.hand(&uncounted{CutDone: done, snapshot: e.snapshot, committer: m})
	e.closeSnapshot()
}
