package actors

import (
	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// entry is one pending request.
type entry struct {
	request
	kind entryKind
	// ops are a write's operations.
	ops []operation
	// one is the operation of a request that has one, and of a Get its key: most need no slice.
	one     [1]operation
	isRange bool // has a DeleteRange: a group of its own
	// conditions must hold before the ops.
	conditions []*messages.Condition
	// bytes is what the request's keys and values hold in memory.
	bytes int
	// message is that of a Scan or a Cut.
	message proto.Message
}

type entryKind int

const (
	writeEntry entryKind = iota
	getEntry
	scanEntry
	snapshotEntry
	cutEntry
	// recordEntry asks for nothing but a group, and is nobody's.
	recordEntry
)

// scans tells whether the entry needs a snapshot.
func (e *entry) scans() bool { return e.kind == scanEntry || e.kind == snapshotEntry }

// operation is a message's, without what the message costs.
type operation struct {
	kind operationKind
	// wantPrevious asks what the key held before.
	wantPrevious bool
	// key and value are, of a deletion of a range, its start and end.
	key, value []byte
	// hash is the key's; none of a range.
	hash uint64
	// ahead is which of the group's keys that were read ahead is this one's.
	ahead int
}

type operationKind uint8

const (
	noOperation operationKind = iota
	putOperation
	deleteOperation
	rangeOperation
)

func operationOf(op *messages.Op) operation {
	switch o := op.GetOp().(type) {
	case *messages.Op_Put:
		return putOf(o.Put)
	case *messages.Op_Delete:
		return deleteOf(o.Delete)
	case *messages.Op_DeleteRange:
		return rangeOf(o.DeleteRange)
	}
	return operation{}
}

func putOf(m *messages.Put) operation {
	return operation{kind: putOperation, key: m.GetKey(), value: m.GetValue(), hash: xxhash.Sum64(m.GetKey()), wantPrevious: m.GetWantPrevious()}
}

func deleteOf(m *messages.Delete) operation {
	return operation{kind: deleteOperation, key: m.GetKey(), hash: xxhash.Sum64(m.GetKey()), wantPrevious: m.GetWantPrevious()}
}

func rangeOf(m *messages.DeleteRange) operation {
	return operation{kind: rangeOperation, key: m.GetStart(), value: m.GetEnd()}
}

// read makes the entry that of a message. What is wrong with the message is returned, and nothing of it read.
// understood is false for one that no owner answers.
func (e *entry) read(message any) (bad *messages.Failure, understood bool) {
	switch m := message.(type) {
	case *messages.Put:
		if bad = m.Check(); bad == nil {
			e.deadline = asTime(m.GetDeadline())
			e.single(putOf(m))
		}
	case *messages.Delete:
		if bad = m.Check(); bad == nil {
			e.deadline = asTime(m.GetDeadline())
			e.single(deleteOf(m))
		}
	case *messages.DeleteRange:
		if bad = m.Check(); bad == nil {
			e.deadline = asTime(m.GetDeadline())
			e.single(rangeOf(m))
		}
	case *messages.Write:
		if bad = m.Check(); bad == nil {
			e.deadline = asTime(m.GetDeadline())
			e.several(m)
		}
	case *messages.Get:
		bad, e.deadline = m.Check(), asTime(m.GetDeadline())
		e.kind, e.one[0].key, e.bytes = getEntry, m.GetKey(), len(m.GetKey())
	case *messages.Scan:
		bad, e.deadline = m.Check(), asTime(m.GetDeadline())
		e.kind, e.message = scanEntry, m
	case *snapshotRequest:
		e.kind = snapshotEntry
	case *messages.Cut:
		bad = m.Check()
		e.kind, e.message = cutEntry, m
	default:
		return nil, false
	}
	return bad, true
}

// single makes the entry a write of one operation.
func (e *entry) single(o operation) {
	e.one[0] = o
	e.ops = e.one[:]
	e.isRange = o.kind == rangeOperation
	e.bytes = len(o.key) + len(o.value)
}

// several makes the entry a write of the operations of m.
func (e *entry) several(m *messages.Write) {
	e.conditions = m.GetConditions()
	for _, c := range e.conditions {
		e.bytes += len(c.GetKey()) + len(c.GetEquals())
	}
	e.ops = make([]operation, len(m.GetOps()))
	for i, op := range m.GetOps() {
		o := operationOf(op)
		e.ops[i] = o
		e.isRange = e.isRange || o.kind == rangeOperation
		e.bytes += len(o.key) + len(o.value)
	}
}
