package actors

import (
	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

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
	switch m := c.Message().(type) {
	case *messages.Put:
		if r := o.accept(c, m, m.Check()); r != nil {
			r.deadline = asTime(m.GetDeadline())
			o.write(writeOf(r, []*messages.Op{{Op: &messages.Op_Put{Put: m}}}))
		}
	case *messages.Delete:
		if r := o.accept(c, m, m.Check()); r != nil {
			r.deadline = asTime(m.GetDeadline())
			o.write(writeOf(r, []*messages.Op{{Op: &messages.Op_Delete{Delete: m}}}))
		}
	case *messages.DeleteRange:
		if r := o.accept(c, m, m.Check()); r != nil {
			r.deadline = asTime(m.GetDeadline())
			o.write(writeOf(r, []*messages.Op{{Op: &messages.Op_DeleteRange{DeleteRange: m}}}))
		}
	case *messages.Write:
		if r := o.accept(c, m, m.Check()); r != nil {
			r.deadline = asTime(m.GetDeadline())
			o.write(writeOf(r, m.GetOps(), m.GetConditions()...))
		}
	case *messages.Get:
		if r := o.accept(c, m, m.Check()); r != nil {
			r.deadline = asTime(m.GetDeadline())
			o.read(&entry{request: r, kind: getEntry, bytes: len(m.GetKey())})
		}
	case *messages.Scan:
		if r := o.accept(c, m, m.Check()); r != nil {
			r.deadline = asTime(m.GetDeadline())
			o.read(&entry{request: r, kind: scanEntry})
		}
	case *snapshotRequest:
		o.read(&entry{request: o.accept(c, nil, nil), kind: snapshotEntry})
	case *messages.Cut:
		if r := o.accept(c, m, m.Check()); r != nil {
			o.cell.cut(&entry{request: r, kind: cutEntry})
		}
	default:
		// A lifecycle message has no sender, and the supervisor holds all that matters.
		o.cell.outbox.send(c.Sender(), notUnderstood("owner of table "+o.cell.name, m).Of(o.cell.name))
	}
}

// accept makes a request of the message being received; a bad one is answered here, and nil returned.
func (o *owner) accept(c actor.Context, message proto.Message, bad *messages.Failure) *request {
	r := &request{out: o.cell.outbox, sender: c.Sender(), message: message}
	o.current = r
	if bad != nil {
		r.answer(bad.Of(o.cell.name))
		return nil
	}
	return r
}

func (o *owner) write(e *entry) {
	if o.cell.tree.config.ReadOnly {
		e.answer(messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "table is open for reading only; nothing was written").
			Of(o.cell.name).Advise("send writes to the host that serves the directory"))
		return
	}
	m := o.cell.serving.Load()
	switch {
	case m == nil:
		e.answer(o.cell.refusal())
	case m.store.ReadOnly():
		e.answer(o.cell.fullFailure())
	case o.cell.dropping.Load():
		e.answer(unavailable(o.cell.name, "table is being dropped; nothing was written", retryLate))
	default:
		m.submit(e)
	}
}

func (o *owner) read(e *entry) {
	m := o.cell.serving.Load()
	switch {
	case m == nil:
		e.answer(o.cell.refusal())
	case e.kind == getEntry:
		o.cell.readers.get(m, e)
	default:
		o.cell.readers.scan(m, e)
	}
}

// snapshotRequest asks for a snapshot with the guarantees of a Scan. It comes from a handle of this process
// and is answered with a *store.Snapshot.
type snapshotRequest struct{}
