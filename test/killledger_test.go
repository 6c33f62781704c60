package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// A slot is two rows of a table that one writer writes by numbered operations, each of which writes both or removes both. What
// a row holds tells the number, so that whoever reads a slot knows which operation it stands after.

// slotRows are the keys of a slot's rows.
func slotRows(slot string) [2]string { return [2]string{slot + "/a", slot + "/b"} }

// slotValue is what operation n writes into the row of a key.
func slotValue(n uint64, key string) []byte {
	return fmt.Appendf(nil, "%d %s %s", n, key, strings.Repeat(".", int(n*37%700)))
}

// clears tells the operations that remove their slot, by number. Number 0 is that of a slot that was never written.
func clears(n uint64) bool { return n == 0 || n%7 < 2 }

// journal is told what writers send, before they send it, and what they are answered.
type journal interface {
	sent(table, slot string, n uint64)
	acked(table, slot string, n, seq uint64)
	// refused: the answer said that nothing was written.
	refused(table, slot string, n uint64)
}

// slotWriter sends one operation after another to a table.
type slotWriter struct {
	journal journal
	table   *actors.Table
	slots   []string
	next    func() uint64 // numbers the operations
}

// write sends one operation and returns why it was not acknowledged.
func (w *slotWriter) write(ctx context.Context) error {
	n := w.next()
	slot := w.slots[n%uint64(len(w.slots))]
	w.journal.sent(w.table.Name(), slot, n)
	seq, err := w.send(ctx, slot, n)
	switch {
	case err == nil:
		w.journal.acked(w.table.Name(), slot, n, seq)
	case !errors.Is(err, messages.ErrOutcomeUnknown):
		w.journal.refused(w.table.Name(), slot, n)
	}
	return err
}

func (w *slotWriter) send(ctx context.Context, slot string, n uint64) (seq uint64, err error) {
	if n%7 == 0 {
		return w.table.DeleteRange(ctx, []byte(slot+"/"), []byte(slot+"0")) // '0' follows '/'
	}
	var write messages.Write
	for _, key := range slotRows(slot) {
		op := messages.PutOp([]byte(key), slotValue(n, key))
		if clears(n) {
			op = messages.DeleteOp([]byte(key))
		}
		write.Ops = append(write.Ops, op)
	}
	return w.table.Write(ctx, &write)
}

// sighting is what a table shows while nobody writes it.
type sighting struct {
	Lineage string
	Seq     uint64
	Slots   map[string]uint64 // the number of the operation that wrote each slot; one without rows is missing
	Sums    store.Sums
}

// sight reads a whole table.
func sight(ctx context.Context, g *actors.Gabion, table string) (*sighting, error) {
	s := &sighting{Slots: map[string]uint64{}}
	var fingerprinter store.Fingerprinter
	first := "" // the row before, if its slot's second one is to come
	err := g.Table(table).Walk(ctx, nil, func(key, value []byte) error {
		s.Sums.Count++
		s.Sums.LiveBytes += uint64(len(key) + len(value))
		s.Sums.Fingerprint += fingerprinter.Row(key, value)
		var n uint64
		if _, err := fmt.Sscan(string(value), &n); err != nil || string(value) != string(slotValue(n, string(key))) {
			return fmt.Errorf("row %q holds what nobody wrote: %.40q", key, value)
		}
		slot, row, _ := strings.Cut(string(key), "/")
		switch {
		case row == "a" && first == "":
			first, s.Slots[slot] = slot, n
		case row == "b" && first == slot && s.Slots[slot] == n:
			first = ""
		default:
			return fmt.Errorf("half of an operation: row %q of operation %d, and the other of %d", key, n, s.Slots[slot])
		}
		return nil
	})
	if err == nil && first != "" {
		err = fmt.Errorf("half of an operation: slot %q has one row", first)
	}
	if err != nil {
		return nil, err
	}
	tables, err := g.ListTables(ctx)
	if err != nil {
		return nil, err
	}
	for _, info := range tables {
		if info.GetTable() == table {
			s.Lineage, s.Seq = info.GetPosition().GetLineage(), info.GetPosition().GetSeq()
		}
	}
	return s, nil
}

// killLedger is a journal that knows what every slot may hold. It is safe for concurrent use.
type killLedger struct {
	mu     sync.Mutex
	tables map[string]*account
	faults []string
	acks   int
}

// account is what a ledger knows of one table.
type account struct {
	// slots has the numbers of the operations that a slot may stand after: the newest acknowledged one, and those sent
	// since whose outcome nobody knows.
	slots map[string][]uint64
	// floor is a seq that the table has reached for certain; base the one it had when it was last seen.
	floor, base uint64
	lineage     string
	// seqs were acknowledged since the table was last seen.
	seqs map[uint64]bool
}

func newKillLedger() *killLedger { return &killLedger{tables: map[string]*account{}} }

func (l *killLedger) faultf(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// takeFaults returns what was found wrong since the last call.
func (l *killLedger) takeFaults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	faults := l.faults
	l.faults = nil
	return faults
}

func (l *killLedger) account(table string) *account {
	a := l.tables[table]
	if a == nil {
		a = &account{slots: map[string][]uint64{}, seqs: map[uint64]bool{}}
		l.tables[table] = a
	}
	return a
}

func (a *account) possible(slot string) []uint64 {
	if len(a.slots[slot]) == 0 {
		return []uint64{0}
	}
	return a.slots[slot]
}

func (l *killLedger) sent(table, slot string, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(table)
	a.slots[slot] = append(a.possible(slot), n)
}

func (l *killLedger) acked(table, slot string, n, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks++
	a := l.account(table)
	if !slices.Contains(a.slots[slot], n) {
		l.faultf("%s: operation %d on slot %q was acknowledged and never sent", table, n, slot)
	}
	if seq <= a.base || a.seqs[seq] {
		l.faultf("%s: seq %d was given twice: the table was at %d before", table, seq, a.base)
	}
	a.seqs[seq] = true
	a.floor = max(a.floor, seq)
	a.slots[slot] = []uint64{n}
}

func (l *killLedger) refused(table, slot string, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(table)
	a.slots[slot] = slices.DeleteFunc(a.possible(slot), func(m uint64) bool { return m == n })
}

// saw compares what a table shows with what it may show. What is seen is durable, and stays possible alone.
func (l *killLedger) saw(table string, s *sighting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(table)
	if a.lineage != "" && s.Lineage != a.lineage {
		l.faultf("%s: lineage %s serves, it was %s", table, s.Lineage, a.lineage)
	}
	if s.Seq < a.floor {
		l.faultf("%s: at seq %d, it was at %d", table, s.Seq, a.floor)
	}
	a.lineage, a.floor, a.base = s.Lineage, max(a.floor, s.Seq), s.Seq
	a.seqs = map[uint64]bool{} // not cleared: that keeps the room
	for slot, n := range s.Slots {
		if !slices.Contains(a.slots[slot], n) {
			l.faultf("%s: slot %q stands after operation %d, want one of %v", table, slot, n, a.possible(slot))
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(a.slots)) {
		n, found := s.Slots[slot]
		left := slices.DeleteFunc(slices.Clone(a.possible(slot)), func(m uint64) bool {
			return found && m != n || !found && !clears(m)
		})
		if len(left) > 0 {
			a.slots[slot] = left
			continue
		}
		if !found {
			l.faultf("%s: slot %q has no rows, want those of one of the operations %v", table, slot, a.slots[slot])
		}
	}
}

// forget drops the account of a table.
func (l *killLedger) forget(table string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tables, table)
}
