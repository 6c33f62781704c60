package test

import (
	"fmt"
	"maps"
	"strings"

	"github.com/gabiondb/gabion/messages"
)

// row is one row of a table.
type row struct{ key, value []byte }

func imageRow(i int) row {
	return row{fmt.Appendf(nil, "k%05d", i), fmt.Appendf(nil, "%05d %s", i, strings.Repeat("v", 300))}
}

func (r row) put() *messages.Put { return &messages.Put{Key: r.key, Value: r.value} }

// isIn tells whether an answer to a Get of the row's key has its value.
func (r row) isIn(answer any) bool {
	value, ok := answer.(*messages.Value)
	return ok && value.GetFound() && string(value.GetValue()) == string(r.value)
}

// ledger is what one sender, which waits for each answer, was told of its writes.
type ledger struct {
	// sure holds the value of each key whose newest known write was acknowledged.
	sure map[string]string
	// maybe holds the values of writes since, whose outcome is unknown.
	maybe map[string][]string
	seq   uint64 // of the newest acknowledged write
}

func newLedger() *ledger {
	return &ledger{sure: make(map[string]string), maybe: make(map[string][]string)}
}

// clone is what the sender knew by now.
func (l *ledger) clone() *ledger {
	c := *l
	c.sure, c.maybe = maps.Clone(l.sure), maps.Clone(l.maybe)
	return &c
}

// acked enters a write that was acknowledged.
func (l *ledger) acked(r row, seq uint64) {
	l.seq = seq
	l.sure[string(r.key)] = string(r.value)
	delete(l.maybe, string(r.key))
}

// note enters the answer to a write. A write without one may have been carried out.
func (l *ledger) note(r row, answer any) (acked bool) {
	switch m := answer.(type) {
	case *messages.Committed:
		l.acked(r, m.GetSeq())
		return true
	case *messages.Failure:
		if !m.GetOutcomeUnknown() {
			return false
		}
	}
	l.maybe[string(r.key)] = append(l.maybe[string(r.key)], string(r.value))
	return false
}

// check compares what a table holds with what was told: the faults it finds.
func (l *ledger) check(found map[string]string) (faults []string) {
	rest := maps.Clone(found)
	fits := func(key string) bool {
		value, has := rest[key]
		delete(rest, key)
		sure, isSure := l.sure[key]
		if has == isSure && value == sure {
			return true
		}
		for _, maybe := range l.maybe[key] {
			if has && value == maybe {
				return true
			}
		}
		return false
	}
	for key := range l.sure {
		if value, has := rest[key]; !fits(key) {
			faults = append(faults, fmt.Sprintf("acknowledged row %s is lost: found %v, %.40q", key, has, value))
		}
	}
	for key := range l.maybe {
		if _, has := rest[key]; has && !fits(key) {
			faults = append(faults, fmt.Sprintf("row %s is neither what was there nor what was written", key))
		}
	}
	for key := range rest {
		faults = append(faults, fmt.Sprintf("row %s is there, though its write was answered as not carried out", key))
	}
	return faults
}
