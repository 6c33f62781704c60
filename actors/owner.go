package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

// owner turns messages into work for its cell. It keeps no state of its own, so that a restart after a
// panic loses nothing, and it makes no call that a disk could hold up.
type owner struct {
	cell    *cell
	current *request
}

var _ answerer = (*owner)(nil)

func (o *owner) receiving() *request { return o.current }
func (o *owner) forget()             { o.current = nil }

// Receive implements actor.Actor.
func (o *owner) Receive(c actor.Context) {
	e := &entry{request: request{out: o.cell.outbox, sender: c.Sender()}}
	o.current = &e.request
	if !o.cell.receive(e, c.Message()) {
		// A lifecycle message has no sender, and the supervisor holds all that matters.
		e.answer(notUnderstood("owner of table "+o.cell.name, c.Message()).Of(o.cell.name))
	}
}

// receive carries out a message, or answers it; false where no owner does. Any goroutine may call it.
func (c *cell) receive(e *entry, message any) bool {
	bad, understood := e.read(message)
	switch {
	case !understood:
		return false
	case bad != nil:
		e.answer(bad.Of(c.name))
	case e.kind == writeEntry:
		c.write(e)
	case e.kind == cutEntry:
		c.cut(e)
	default:
		c.read(e)
	}
	return true
}

func (c *cell) write(e *entry) {
	if c.tree.config.ReadOnly {
		e.answer(messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "table is open for reading only; nothing was written").
			Of(c.name).Advise("send writes to the host that serves the directory"))
		return
	}
	m := c.serving.Load()
	switch {
	case m == nil:
		e.answer(c.refusal())
	case m.store.ReadOnly():
		e.answer(c.fullFailure())
	default:
		m.submit(e)
	}
}

func (c *cell) read(e *entry) {
	m := c.serving.Load()
	switch {
	case m == nil:
		e.answer(c.refusal())
	case e.kind == getEntry:
		c.readers.get(m, e)
	default:
		c.readers.scan(m, e)
	}
}

// snapshotRequest asks for a snapshot with the guarantees of a Scan. It comes from a handle of this process
// and is answered with a *store.Snapshot.
type snapshotRequest struct{}
