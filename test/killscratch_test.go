package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gabiondb/gabion/messages"
)

// scratchTable is made and dropped, over and over.
const scratchTable = "scratch"

// The lines that a victim writes of it, some with more in the line.
const (
	lineNoScratch = "no scratch"
	lineCreate    = "create"
	lineCreated   = "created"
	lineDrop      = "drop"
	lineDropped   = "dropped"
)

// churn makes a table, writes some rows, and drops it, over and over.
func (v *victim) churn(ctx context.Context, rng *rand.Rand) {
	drop := func() bool {
		v.say(lineDrop)
		err := v.g.Drop(ctx, &messages.DropTable{Table: scratchTable, WithoutBackup: rng.IntN(4) > 0})
		if err == nil {
			v.say(lineDropped)
		} else if !v.stopping.Load() {
			v.fault("drop: %v", err)
		}
		return err == nil
	}
	if _, err := sight(ctx, v.g, scratchTable); err == nil && !drop() {
		return
	}
	for !v.stopping.Load() {
		generation := v.number.Add(1)
		v.say("%s %d", lineCreate, generation)
		if err := v.g.CreateTable(ctx, scratchTable, true); err != nil {
			if !v.stopping.Load() {
				v.fault("create: %v", err)
			}
			return
		}
		s, err := sight(ctx, v.g, scratchTable)
		if err != nil || len(s.Slots) > 0 {
			if !v.stopping.Load() {
				v.fault("read the new table: %v, %v", s, err)
			}
			return
		}
		v.say("%s %d %s", lineCreated, generation, s.Lineage)
		w := &slotWriter{journal: ofGeneration{v, generation}, table: v.g.Table(scratchTable), slots: []string{"0", "1", "2"},
			next: func() uint64 { return v.number.Add(1) }}
		for range rng.IntN(60) {
			if err := w.write(ctx); errors.Is(err, messages.ErrUnavailable) && v.stopping.Load() {
				return
			}
		}
		if !drop() {
			return
		}
	}
}

// ofGeneration is a journal of a table that is one of several of the same name.
type ofGeneration struct {
	journal
	generation uint64
}

func generationName(generation uint64) string { return fmt.Sprint(scratchTable, "#", generation) }

func (o ofGeneration) sent(_, slot string, n uint64) {
	o.journal.sent(generationName(o.generation), slot, n)
}

func (o ofGeneration) acked(_, slot string, n, seq uint64) {
	o.journal.acked(generationName(o.generation), slot, n, seq)
}

func (o ofGeneration) refused(_, slot string, n uint64) {
	o.journal.refused(generationName(o.generation), slot, n)
}

// generation is one table of the name scratchTable; 0 is none.
type generation struct {
	number  uint64
	lineage string // "" where its creation was not answered
}

// saw takes what a table shows after a start.
func (k *killer) saw(table string, s *sighting) {
	if table != scratchTable {
		k.killLedger.saw(table, s)
		return
	}
	i := slices.IndexFunc(k.scratch, func(g generation) bool { return g.lineage == s.Lineage })
	if i < 0 {
		i = slices.IndexFunc(k.scratch, func(g generation) bool { return g.number > 0 && g.lineage == "" })
	}
	if i < 0 {
		k.t.Errorf("table %s is of lineage %s, want one of %v", scratchTable, s.Lineage, k.scratch)
		return
	}
	g := generation{k.scratch[i].number, s.Lineage}
	k.settle(g)
	k.killLedger.saw(generationName(g.number), s)
}

// settle is called when scratchTable is known to be g.
func (k *killer) settle(g generation) {
	for _, old := range k.scratch {
		if old.number != g.number {
			k.killLedger.forget(generationName(old.number))
		}
	}
	k.scratch = []generation{g}
}
