package actors

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// A disk that hangs can only be waited for. Meanwhile the table is stalled: what could not be carried out is answered,
// and what comes is refused at once, but for the reads that need no write to end. When the disk answers again, the calls
// that hung go on where they were, and so does the table.

const stalledHint = "look at the disk; the table goes on by itself when it answers"

// retryStalled is the retry_after of a stalled table.
const retryStalled = time.Second

// hangs tells whether the disk holds up the committer or the acker.
func (m *committer) hangs() bool { return m.committing.hangs.Load() || m.acking.hangs.Load() }

// stalled answers everything that waits for a write to end. Called by the watches.
func (m *committer) stalled() {
	limit := m.cell.tree.config.StallAfter
	cause := fmt.Errorf("the disk has not ended a write for %v", limit)
	m.mu.Lock()
	m.stall = true
	refused := slices.Clone(m.pending[m.head:])
	for _, e := range refused {
		m.untouch(e)
	}
	m.pending, m.head, m.ops, m.bytes = nil, 0, 0, 0
	groups := slices.Collect(maps.Keys(m.inFlight))
	m.mu.Unlock()
	for _, e := range refused {
		e.answer(m.cell.stallFailure("the request was not carried out"))
	}
	for _, g := range groups {
		for _, e := range g.entries {
			e.answer(undurable(e, m.cell.name, cause, true).After(retryStalled).Advise(stalledHint))
		}
	}
	m.cell.logger.Error("table is stalled: writes are refused until the disk answers", "after", limit,
		"refused", len(refused), "groups_in_flight", len(groups))
	m.cell.judge()
}

// resumed lets requests in again. Called by the watches.
func (m *committer) resumed() {
	m.mu.Lock()
	m.stall = m.hangs()
	m.mu.Unlock()
	m.cell.logger.Info("the disk answers again")
	m.cell.judge()
}

// stallFailure is the answer of a stalled table. outcome says what became of the request.
func (c *cell) stallFailure(outcome string) *messages.Failure {
	return unavailable(c.name, fmt.Sprintf("table is stalled: its disk has not answered for %v; %s", c.tree.config.StallAfter, outcome),
		retryStalled).Advise(stalledHint)
}

// judge makes an open table stalled while writes or reads of it hang, or full while it refuses writes for want of room,
// and open again afterwards.
func (c *cell) judge() {
	// What was seen is acted on before somebody else sees something newer.
	c.judging.Lock()
	defer c.judging.Unlock()
	m := c.serving.Load()
	if m == nil {
		return
	}
	to, reason, hint := messages.TableState_TABLE_STATE_OPEN, "", ""
	switch hung := c.readers.hung(); {
	case m.hangs():
		to, hint = messages.TableState_TABLE_STATE_STALLED, stalledHint
		reason = fmt.Sprintf("the disk has not ended a write for %v", c.tree.config.StallAfter)
	case hung > 0:
		to, hint = messages.TableState_TABLE_STATE_STALLED, stalledHint
		reason = fmt.Sprintf("the disk has not answered %d reads for %v", hung, c.tree.config.StallAfter)
	case m.full.Load(), m.store.ReadOnly() && !c.tree.directory.ReadOnly():
		to, reason, hint = messages.TableState_TABLE_STATE_FULL, c.tree.roomText(), fullHint
	}
	c.change(to, reason, hint, messages.TableState_TABLE_STATE_OPEN, messages.TableState_TABLE_STATE_STALLED,
		messages.TableState_TABLE_STATE_FULL)
}
