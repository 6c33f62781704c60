package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/bench"
	"github.com/gabiondb/gabion/messages"
)

const besideCallers = 64

// backupWindow is from BackupStarted to BackupComplete of a run, by the times that these say.
type backupWindow struct {
	from, to atomic.Int64 // Unix nanoseconds; zero for what was not yet said
	over     chan struct{}
}

// watchBackup waits for the next run of the host.
func watchBackup(h *host) (*backupWindow, func()) {
	w := &backupWindow{over: make(chan struct{})}
	return w, h.g.Subscribe(func(event proto.Message) {
		switch m := event.(type) {
		case *messages.BackupStarted:
			w.from.Store(m.GetStarted().AsTime().UnixNano())
		case *messages.BackupComplete:
			w.to.Store(m.GetFinished().AsTime().UnixNano())
			close(w.over)
		}
	})
}

func (w *backupWindow) holds(at time.Time) bool {
	from, to, now := w.from.Load(), w.to.Load(), at.UnixNano()
	return from != 0 && now >= from && (to == 0 || now < to)
}

func (w *backupWindow) lasted() time.Duration { return time.Duration(w.to.Load() - w.from.Load()) }

// silence notes the times between two answers that follow one another, to whomever.
type silence struct {
	last atomic.Int64 // Unix nanoseconds

	mu   sync.Mutex
	gaps []gap
}

// gap is a time without an answer.
type gap struct{ from, to time.Time }

// shortGap is the shortest time without an answer that is noted: shorter ones are of no interest, and there are millions.
const shortGap = 2 * time.Millisecond

// answered is told of each answer. Only what counts is noted.
func (s *silence) answered(at time.Time, counts bool) {
	last := s.last.Swap(at.UnixNano())
	took := time.Duration(at.UnixNano() - last)
	if last == 0 || !counts || took < shortGap {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, gap{at.Add(-took), at})
}

// millis is the longest, of those that were not over before from, nor began after to; zero times are no bounds.
func (s *silence) millis(from, to time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := time.Duration(0)
	for _, g := range s.gaps {
		if !g.to.Before(from) && (to.IsZero() || !g.from.After(to)) {
			longest = max(longest, g.to.Sub(g.from))
		}
	}
	return float64(longest) / 1e6
}

// openLoop are puts that arrive at a rate, and the silence while they counted.
func openLoop(ctx context.Context, table *bench.Table, keys *bench.Keys, rate float64, lasts time.Duration, w *backupWindow) (bench.Sample, *silence, error) {
	var s silence
	put := bench.Puts(table)
	load := bench.Load{Callers: 8 * besideCallers, Rate: rate}
	if w != nil {
		load.Until, load.Counts = w.over, w.holds
	}
	load.Op = func(ctx context.Context, k *bench.Keys) (int, error) {
		n, err := put(ctx, k)
		now := time.Now()
		s.answered(now, w == nil || w.holds(now))
		return n, err
	}
	sample, err := bench.Run(ctx, load, keys, lasts)
	return sample, &s, err
}

// measureBeside has puts of valueBytes arrive at half of what the table can take, and holds their latency beside a backup
// against that before it. The puts of the round before are what is new in a backup; the first one copies the whole table.
func measureBeside(ctx context.Context, o options, dir string, rows, valueBytes int) (rounds []besideBackup, err error) {
	h, err := newHost(ctx, filepath.Join(dir, "beside"), "t")
	if err != nil {
		return nil, err
	}
	defer h.close()
	table, keys := h.tables[0], bench.NewKeys(uint64(rows), valueBytes, 1)
	if err := table.Load(ctx, keys); err != nil {
		return nil, err
	}
	if err := bench.Rest(ctx); err != nil {
		return nil, err
	}
	capacity, err := bench.Run(ctx, bench.Load{Callers: besideCallers, Op: bench.Puts(table)}, keys, 2*o.lasts())
	if err != nil {
		return nil, err
	}
	for range o.rounds {
		b, err := besideOne(ctx, o, h, keys, capacity.PerSecond()/2)
		if err != nil {
			return nil, err
		}
		b.ValueBytes = valueBytes
		rounds = append(rounds, b)
		fmt.Printf("%d rows of %d B, open loop at %.0f/s: p99 %.0f µs before, %.0f µs beside a backup of %.2f s; longest time without an answer %.1f and %.1f ms, at the cut %.1f ms\n",
			b.Rows, valueBytes, b.Rate, b.Before.P99, b.During.P99, b.BackupSeconds, b.QuietGapMillis, b.GapMillis, b.CutGapMillis)
	}
	return rounds, nil
}

// cutLasts is how long after a table's backup has begun its cut, which comes first, is over.
const cutLasts = time.Second

// besideOne is one round: the load before a backup, and the load beside it, which begins earlier.
func besideOne(ctx context.Context, o options, h *host, keys *bench.Keys, rate float64) (b besideBackup, err error) {
	b = besideBackup{Rate: rate, Rows: keys.Rows()}
	if err := bench.Rest(ctx); err != nil {
		return b, err
	}
	var quiet *silence
	if b.Before, quiet, err = openLoop(ctx, h.tables[0], keys, rate, 3*o.lasts(), nil); err != nil {
		return b, err
	}
	b.QuietGapMillis = quiet.millis(time.Time{}, time.Time{})
	w, cancel := watchBackup(h)
	defer cancel()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	time.AfterFunc(o.lasts()/4, func() {
		_, _, err := h.backUp(ctx)
		if done <- err; err != nil {
			stop() // it may never be complete
		}
	})
	var beside *silence
	b.During, beside, err = openLoop(ctx, h.tables[0], keys, rate, time.Hour, w)
	if err != nil {
		stop()
	}
	if backupErr := <-done; backupErr != nil && !errors.Is(backupErr, context.Canceled) {
		err = backupErr
	}
	if err != nil {
		return b, fmt.Errorf("beside a backup: %w", err)
	}
	b.GapMillis = beside.millis(time.Time{}, time.Time{})
	began, err := h.newestBegan(ctx, "t")
	if err != nil {
		return b, err
	}
	b.CutGapMillis = beside.millis(began, began.Add(cutLasts))
	b.BackupSeconds, b.During.Seconds = w.lasted().Seconds(), w.lasted().Seconds()
	return b, nil
}
