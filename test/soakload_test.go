//go:build soak

package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// sure is the one operation that a slot stands after, ok false where several are possible.
func (l *killLedger) sure(table, slot string) (n uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	possible := l.account(table).possible(slot)
	return possible[0], len(possible) == 1
}

// read enters what the only writer of a slot read of one row of it. What is shown is durable: nothing older comes back.
func (l *killLedger) read(table, slot, key string, value []byte, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(table)
	possible := a.possible(slot)
	i := slices.IndexFunc(possible, func(n uint64) bool {
		return found && !clears(n) && string(value) == string(slotValue(n, key)) || !found && clears(n)
	})
	if i < 0 {
		l.faultf("%s: read %q: found %v, %.40q; its slot may stand after the operations %v", table, key, found, value, possible)
		return
	}
	if found { // several operations clear
		a.slots[slot] = slices.Clone(possible[i:])
	}
}

// soakWriter writes slots of one table, one operation after another, and reads them in between.
type soakWriter struct {
	s     *soak
	rng   *rand.Rand
	table string
	slots []string
}

// live writes and reads until ctx ends.
func (w *soakWriter) live(ctx context.Context) {
	for ctx.Err() == nil {
		w.s.gate.RLock()
		began := time.Now()
		what, err := w.step()
		refused := err != nil && !w.s.restarting.Load() && w.judge(err, began)
		w.s.gate.RUnlock()
		for _, fault := range w.s.ledger.takeFaults() {
			w.s.failf("%s", fault)
		}
		if refused {
			w.s.failf("%s: %s, whose disk is well: %v", w.table, what, err)
		}
		if err != nil {
			<-time.After(5 * time.Millisecond)
		} else {
			<-time.After(time.Duration(w.rng.IntN(2000)) * time.Microsecond)
		}
	}
}

// judge tells whether an error is none that may be.
func (w *soakWriter) judge(err error, began time.Time) bool {
	if errors.Is(err, messages.ErrInternal) && strings.Contains(err.Error(), "panic") {
		w.s.count(func(c *soakCounts) { c.panicked++ })
		return false
	}
	if w.s.blame.excuses(w.table, began) || w.s.slow.excuses(w.table, began) || w.s.restarted().After(began) {
		w.s.count(func(c *soakCounts) { c.refused++ })
		return false
	}
	return true
}

// step is one operation; what says which.
func (w *soakWriter) step() (what string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	handle := w.s.g.Load().Table(w.table)
	slot := w.slots[w.rng.IntN(len(w.slots))]
	keys := slotRows(slot)
	switch w.rng.IntN(10) {
	case 0, 1:
		value, err := handle.Get(ctx, []byte(keys[0]))
		if err == nil || errors.Is(err, messages.ErrNotFound) {
			w.s.ledger.read(w.table, slot, keys[0], value, err == nil)
			w.s.count(func(c *soakCounts) { c.reads++ })
			return "", nil
		}
		return "get", err
	case 2:
		page, err := handle.Scan(ctx, &messages.Scan{Prefix: []byte(slot + "/")})
		if err != nil {
			return "scan", err
		}
		found := map[string][]byte{}
		for _, e := range page.GetEntries() {
			found[string(e.GetKey())] = e.GetValue()
		}
		for _, key := range keys {
			value, has := found[key]
			w.s.ledger.read(w.table, slot, key, value, has)
		}
		w.s.count(func(c *soakCounts) { c.scans++ })
		return "", nil
	case 3:
		return w.conditional(ctx, slot)
	}
	writer := &slotWriter{journal: w.s.ledger, table: handle, slots: []string{slot}, next: func() uint64 { return w.s.number.Add(1) }}
	return "write", writer.write(ctx)
}

// conditional writes a slot under a condition that holds, or one that does not. The writer knows which, where it knows what
// its slot holds.
func (w *soakWriter) conditional(ctx context.Context, slot string) (what string, err error) {
	now, ok := w.s.ledger.sure(w.table, slot)
	if !ok {
		return "", nil
	}
	key := []byte(slotRows(slot)[0])
	holds, fails := messages.IfAbsent(key), messages.IfEquals(key, []byte("what nobody wrote"))
	if !clears(now) {
		holds, fails = messages.IfEquals(key, slotValue(now, string(key))), messages.IfAbsent(key)
	}
	n := w.s.number.Add(1)
	for clears(n) {
		n = w.s.number.Add(1)
	}
	var write messages.Write
	for _, key := range slotRows(slot) {
		write.Ops = append(write.Ops, messages.PutOp([]byte(key), slotValue(n, key)))
	}
	good := w.rng.IntN(2) == 0
	write.Conditions = []*messages.Condition{fails}
	if good {
		write.Conditions = []*messages.Condition{holds}
	}
	w.s.ledger.sent(w.table, slot, n)
	seq, err := w.s.g.Load().Table(w.table).Write(ctx, &write)
	switch refused := errors.Is(err, messages.ErrConditionFailed); {
	case err == nil:
		w.s.ledger.acked(w.table, slot, n, seq)
		if !good {
			w.s.failf("%s: a write was carried out though its condition did not hold", w.table)
		}
	case refused && good:
		w.s.failf("%s: a condition that holds was refused: slot %q stands after %d: %v", w.table, slot, now, err)
		w.s.ledger.refused(w.table, slot, n)
	case refused:
		w.s.ledger.refused(w.table, slot, n)
		w.s.count(func(c *soakCounts) { c.conditions++ })
		return "", nil
	case !errors.Is(err, messages.ErrOutcomeUnknown):
		w.s.ledger.refused(w.table, slot, n)
	}
	return "conditional write", err
}

// churn makes a table, writes it, reads all of it and drops it, over and over.
func (s *soak) churn(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		s.gate.RLock()
		began := time.Now()
		what, err := s.churnOnce(rng)
		known := s.restarting.Load() || s.restarted().After(began) || s.blame.excuses(scratchTable, began)
		if err != nil && !known && !errors.Is(err, messages.ErrInternal) {
			s.failf("%s %s: %v", what, scratchTable, err)
		}
		s.gate.RUnlock()
		<-time.After(time.Duration(10+rng.IntN(200)) * time.Millisecond)
	}
}

// churnOnce ends with the table made and written, or dropped; what comes next time. scratch is set while it must be there.
func (s *soak) churnOnce(rng *rand.Rand) (what string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	g := s.g.Load()
	state, reason := stateOf(ctx, g, scratchTable)
	if state == notTold {
		return "list", errors.New(reason)
	}
	if state == 0 && s.scratch == "" { // no such table
		generation := s.number.Add(1)
		if err := g.CreateTable(ctx, scratchTable, true); err != nil {
			return "create", err
		}
		s.scratch = generationName(generation)
		w := &slotWriter{journal: ofGeneration{s.ledger, generation}, table: g.Table(scratchTable), slots: []string{"0", "1", "2"},
			next: func() uint64 { return s.number.Add(1) }}
		for range rng.IntN(60) {
			if err := w.write(ctx); err != nil {
				return "write", err
			}
		}
		return "", nil
	}
	if state != isOpen {
		// After a restart, or a fault. One that lies on disk and is no table is an unfinished creation.
		if err := g.RetryTable(ctx, scratchTable); err != nil {
			if err := g.OpenTable(ctx, scratchTable); errors.Is(err, messages.ErrNotFound) {
				if s.scratch != "" {
					s.failf("table %s is gone, and was not dropped", scratchTable)
				}
				s.scratch = ""
				return "", nil
			} else if err != nil {
				return "open", err
			}
		}
	}
	if err := s.seeScratch(ctx); err != nil {
		return "read", err
	}
	name := s.scratch
	s.scratch = "" // from here on it may be gone
	s.ledger.forget(name)
	err = g.Drop(ctx, &messages.DropTable{Table: scratchTable, WithoutBackup: rng.IntN(4) > 0})
	if err == nil {
		s.count(func(c *soakCounts) { c.drops++ })
	}
	return "drop", err
}

// seeScratch holds the table that comes and goes against the ledger, where it must be there.
func (s *soak) seeScratch(ctx context.Context) error {
	if s.scratch == "" {
		return nil
	}
	seen, err := sight(ctx, s.g.Load(), scratchTable)
	if err != nil {
		return fmt.Errorf("see: %w", err)
	}
	s.ledger.saw(s.scratch, seen)
	return nil
}

// dropScratch drops the table that comes and goes, if there is one: what is held with it is not comparable with what is held
// without.
func (s *soak) dropScratch(ctx context.Context) error {
	err := s.g.Load().OpenTable(ctx, scratchTable) // also where it lies on disk and nobody asked for it
	if errors.Is(err, messages.ErrNotFound) && s.scratch == "" {
		return nil
	}
	if err == nil {
		err = s.seeScratch(ctx)
	}
	if err != nil {
		return err
	}
	s.ledger.forget(s.scratch)
	s.scratch = ""
	return s.g.Load().Drop(ctx, &messages.DropTable{Table: scratchTable, WithoutBackup: true})
}
