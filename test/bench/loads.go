package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gabiondb/gabion/bench"
)

// windowSize is how many puts of the sender that does not wait may be unanswered.
const windowSize = 8192

// turn is a contender in a workload.
type turn struct {
	name string // of the contender
	kind string // of its store
	// load makes what it does with the store.
	load func(s bench.Store, keys *bench.Keys) bench.Load
}

// workload is what several contenders do in turn. The first one is what the others are compared with.
type workload struct {
	name       string
	valueBytes int
	turns      []turn
}

func op(callers int, make func(bench.Store) func(context.Context, *bench.Keys) (int, error)) func(bench.Store, *bench.Keys) bench.Load {
	return func(s bench.Store, _ *bench.Keys) bench.Load { return bench.Load{Callers: callers, Op: make(s)} }
}

// all are the durable contenders of a load, by as many callers.
func all(callers int, make func(bench.Store) func(context.Context, *bench.Keys) (int, error)) []turn {
	return []turn{
		{"pebble", "pebble", op(callers, make)},
		{"gabion at_cut", "gabion at_cut", op(callers, make)},
		{"gabion exact", "gabion exact", op(callers, make)},
		{"bbolt", "bbolt", op(callers, make)},
		{"badger", "badger", op(callers, make)},
	}
}

// withMessages adds Gabion by messages with futures.
func withMessages(turns []turn, callers int, make func(bench.Store) func(context.Context, *bench.Keys) (int, error)) []turn {
	return append(turns, turn{"gabion message", "gabion at_cut", func(s bench.Store, _ *bench.Keys) bench.Load {
		return bench.Load{Callers: callers, Op: make(s.(*gabionStore).Messages())}
	}})
}

// window is Gabion's sender that does not wait.
func window(key func(*bench.Keys) []byte) func(bench.Store, *bench.Keys) bench.Load {
	return func(s bench.Store, _ *bench.Keys) bench.Load { return s.(*gabionStore).Window(windowSize, key) }
}

// unsynced are puts of raw Pebble that nobody waits for.
func unsynced(s bench.Store) func(context.Context, *bench.Keys) (int, error) {
	db := s.(*pebbleStore).db
	return func(_ context.Context, k *bench.Keys) (int, error) {
		key := k.Fresh()
		return 1, db.Set(key, k.ValueOf(key), pebble.NoSync)
	}
}

// grouped are puts of raw Pebble in batches of so many, of which up to 64 wait for their fsync.
func grouped(size func() int) func(bench.Store, *bench.Keys) bench.Load {
	return func(s bench.Store, _ *bench.Keys) bench.Load {
		db := s.(*pebbleStore).db
		batches, done := make(chan *pebble.Batch, 64), make(chan error, 1)
		go func() {
			var failed error
			for b := range batches {
				if err := b.SyncWait(); err != nil && failed == nil {
					failed = err
				}
				_ = b.Close()
			}
			done <- failed
		}()
		return bench.Load{
			Op: func(_ context.Context, k *bench.Keys) (int, error) {
				b, n := db.NewBatch(), max(1, size())
				for range n {
					key := k.Fresh()
					if err := b.Set(key, k.ValueOf(key), nil); err != nil {
						return 0, err
					}
				}
				if err := db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
					return 0, err
				}
				batches <- b
				return n, nil
			},
			Drain: func() error { close(batches); return <-done },
		}
	}
}

func fresh(k *bench.Keys) []byte   { return k.Fresh() }
func uniform(k *bench.Keys) []byte { return k.Uniform() }

// workloads are those of docs/performance.md. groupSize is what Gabion's groups had in the round under way.
func workloads(groupSize func() int) []workload {
	list := []workload{
		{"put, one sender that does not wait", 100, []turn{
			{"pebble NoSync", "pebble", op(1, unsynced)},
			{sendsGroups, "gabion at_cut", window(fresh)},
			{"gabion exact", "gabion exact", window(fresh)},
			{"gabion exact, overwrites", "gabion exact", window(uniform)},
			{takesGroups, "pebble", grouped(groupSize)},
			{"pebble, 512 callers", "pebble", op(512, bench.Puts)},
		}},
		{"put, 1 caller", 100, all(1, bench.Puts)},
		{"put, 64 callers", 100, withMessages(all(64, bench.Puts), 64, bench.Puts)},
		{"put, 512 callers", 100, all(512, bench.Puts)},
		{"put of 1 KiB, 64 callers", 1024, all(64, bench.Puts)},
		{"get, 1 caller", 100, withMessages(all(1, bench.Gets), 1, bench.Gets)},
		{"get, 64 callers", 100, withMessages(all(64, bench.Gets), 64, bench.Gets)},
	}
	for _, letter := range []string{"A", "B", "C", "D", "E", "F"} {
		list = append(list, workload{"YCSB " + letter + ", 64 callers", 100, all(64, bench.YCSB[letter])[:3]})
	}
	return list
}

// Contenders of the sender that does not wait: what the second one does depends on what the first one did.
const (
	sendsGroups = "gabion at_cut"
	takesGroups = "pebble, Gabion's groups"
)

// inRound are the turns in the order of a round, which another one begins each time; but takesGroups never comes before
// sendsGroups, whose groups it takes.
func (w workload) inRound(round int) []turn {
	by := round % len(w.turns)
	turns := append(slices.Clone(w.turns[by:]), w.turns[:by]...)
	at := func(name string) int { return slices.IndexFunc(turns, func(t turn) bool { return t.name == name }) }
	if takes, sends := at(takesGroups), at(sendsGroups); takes >= 0 && takes < sends {
		turns = slices.Insert(turns, sends+1, turns[takes])
		turns = slices.Delete(turns, takes, takes+1)
	}
	return turns
}

// measureLoads has every contender of every workload take its turn in every round, the first one another each time. Each has
// a store of its own, which is made for the turn and at rest when it begins.
func measureLoads(ctx context.Context, o options, dir string, r *results) error {
	groupSize := 1
	for round := range o.rounds {
		for _, w := range workloads(func() int { return groupSize }) {
			if !o.only.MatchString(w.name) {
				continue
			}
			for _, t := range w.inRound(round) {
				sample, size, err := takeTurn(ctx, o, w, t, filepath.Join(dir, "store"), func(run func() error) error { return run() })
				if err != nil {
					return fmt.Errorf("%s: %s: %w", w.name, t.name, err)
				}
				if w.turns[0].name == "pebble NoSync" && t.name == sendsGroups {
					groupSize = size
					r.GroupSizes = append(r.GroupSizes, size)
				}
				r.add(w, t.name, sample)
				fmt.Printf("round %d  %-36s %-26s %9.0f/s  p50 %7.1f  p99 %8.1f µs\n", round+1, w.name, t.name, sample.PerSecond(), sample.P50, sample.P99)
			}
		}
	}
	return nil
}

// takeTurn measures one turn, and how many operations Gabion's groups had. around runs what is measured.
func takeTurn(ctx context.Context, o options, w workload, t turn, dir string, around func(run func() error) error) (sample bench.Sample, groupSize int, err error) {
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := open(ctx, t.kind, dir)
	if err != nil {
		return sample, 0, err
	}
	defer func() {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
	}()
	keys := bench.NewKeys(uint64(o.rows), w.valueBytes, 1)
	if err := s.Load(ctx, keys); err != nil {
		return sample, 0, err
	}
	l := t.load(s, keys)
	// Warm: caches, pools, and the memory of the process. A load that is drained ends with that, so it is warmed by another.
	warm := l
	if l.Drain != nil {
		warm = t.load(s, keys)
	}
	if _, err := bench.Run(ctx, warm, keys, o.lasts()/4); err != nil {
		return sample, 0, err
	}
	if err := bench.Rest(ctx); err != nil {
		return sample, 0, err
	}
	g, _ := s.(*gabionStore)
	groups := int64(0)
	if g != nil {
		groups = g.groups.groups.Load()
	}
	written := writtenBytes()
	if err := around(func() (err error) {
		sample, err = bench.Run(ctx, l, keys, o.lasts())
		return err
	}); err != nil {
		return sample, 0, err
	}
	if g != nil {
		groupSize = int(sample.Ops / max(1, g.groups.groups.Load()-groups))
	}
	if err := bench.Rest(ctx); err != nil { // what the puts have caused is part of what they write
		return sample, 0, err
	}
	if written := writtenBytes() - written; sample.Ops > 0 {
		sample.Written = float64(written) / float64(sample.Ops) / float64(keys.Size())
	}
	return sample, groupSize, nil
}
