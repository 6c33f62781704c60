package actors

import (
	"github.com/cespare/xxhash/v2"

	"github.com/gabiondb/gabion/messages"
)

// entry is one pending request.
type entry struct {
	*request
	kind    entryKind
	ops     []*messages.Op
	hashes  []uint64 // of the keys written; nil unless kind is write
	isRange bool     // has a DeleteRange: a group of its own
	// conditions must hold before the ops.
	conditions []*messages.Condition
	// bytes is what the request's keys and values hold in memory.
	bytes int
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

func writeOf(r *request, ops []*messages.Op, conditions ...*messages.Condition) *entry {
	e := &entry{request: r, kind: writeEntry, ops: ops, conditions: conditions, hashes: make([]uint64, 0, len(ops))}
	for _, c := range conditions {
		e.bytes += len(c.GetKey()) + len(c.GetEquals())
	}
	for _, op := range ops {
		switch o := op.GetOp().(type) {
		case *messages.Op_Put:
			e.hashes = append(e.hashes, xxhash.Sum64(o.Put.GetKey()))
			e.bytes += len(o.Put.GetKey()) + len(o.Put.GetValue())
		case *messages.Op_Delete:
			e.hashes = append(e.hashes, xxhash.Sum64(o.Delete.GetKey()))
			e.bytes += len(o.Delete.GetKey())
		case *messages.Op_DeleteRange:
			e.isRange = true
			e.bytes += len(o.DeleteRange.GetStart()) + len(o.DeleteRange.GetEnd())
		}
	}
	return e
}
