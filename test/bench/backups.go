package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/bench"
	"github.com/gabiondb/gabion/messages"
)

// measureBackups times backups, and what they do to those who write meanwhile.
func measureBackups(ctx context.Context, o options, dir string, r *results) error {
	if o.only.MatchString("backup, open loop") {
		if err := measureBeside(ctx, o, filepath.Join(dir, "beside"), r); err != nil {
			return fmt.Errorf("backup, open loop: %w", err)
		}
	}
	if o.only.MatchString("backup, big table") {
		if err := measureBig(ctx, o, filepath.Join(dir, "big"), r); err != nil {
			return fmt.Errorf("backup, big table: %w", err)
		}
	}
	if o.only.MatchString("backup, nine tables") {
		if err := measureNine(ctx, o, dir, r); err != nil {
			return fmt.Errorf("backup, nine tables: %w", err)
		}
	}
	return nil
}

// host is a Gabion with backups.
type host struct {
	g      *actors.Gabion
	system *actor.ActorSystem
	tables []*bench.Table
	dir    string
}

func newHost(ctx context.Context, dir string, tables ...string) (*host, error) {
	quiet := slog.New(slog.DiscardHandler)
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	g, err := actors.Start(ctx, system, actors.Config{Dir: dir, Tables: tables, Logger: quiet, DisableSchedule: true, DisableDrill: true,
		CacheBytes: cacheBytes, CopyTimeout: time.Hour, CutTimeout: time.Hour, Keep: 100})
	if err != nil {
		return nil, err
	}
	h := &host{g: g, system: system, dir: dir}
	for _, name := range tables {
		h.tables = append(h.tables, bench.NewTable(g, system, name))
	}
	return h, nil
}

func (h *host) close() {
	_ = h.g.Stop(context.Background())
	h.system.Shutdown()
	_ = os.RemoveAll(h.dir)
}

// backUp takes a complete backup, and returns the rows of its tables.
func (h *host) backUp(ctx context.Context) (took time.Duration, rows []*messages.TableResult, err error) {
	began := time.Now()
	report, err := h.g.BackupAll(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, row := range report.GetSet().GetResults() {
		if row.GetOutcome() != messages.Outcome_OUTCOME_BACKED_UP {
			return 0, nil, fmt.Errorf("row %v", row)
		}
	}
	return time.Since(began), report.GetSet().GetResults(), nil
}

const besideCallers = 64

// measureBeside has puts arrive at half of what the table can take, and holds their latency beside a backup against that
// before it. Before each backup the table has new rows.
func measureBeside(ctx context.Context, o options, dir string, r *results) error {
	h, err := newHost(ctx, dir, "t")
	if err != nil {
		return err
	}
	defer h.close()
	table, keys := h.tables[0], bench.NewKeys(uint64(max(o.rows, o.bigRows/5)), 100, 1)
	if err := table.Load(ctx, keys); err != nil {
		return err
	}
	if err := bench.Rest(ctx); err != nil {
		return err
	}
	capacity, err := bench.Run(ctx, bench.Load{Callers: besideCallers, Op: bench.Puts(table)}, keys, 2*o.lasts())
	if err != nil {
		return err
	}
	var last, gap atomic.Int64 // nanoseconds: of the last acknowledgement, and the longest time without one
	put := bench.Puts(table)
	watched := func(ctx context.Context, k *bench.Keys) (int, error) {
		n, err := put(ctx, k)
		now := time.Now().UnixNano()
		silent := now - last.Swap(now)
		for have := gap.Load(); silent > have && !gap.CompareAndSwap(have, silent); have = gap.Load() {
		}
		return n, err
	}
	load := bench.Load{Callers: 8 * besideCallers, Rate: capacity.PerSecond() / 2, Op: watched}
	measure := func(ctx context.Context, lasts time.Duration) (bench.Sample, float64, error) {
		last.Store(time.Now().UnixNano())
		gap.Store(0)
		s, err := bench.Run(ctx, load, keys, lasts)
		return s, float64(gap.Load()) / 1e6, err
	}
	for range o.rounds {
		if err := bench.Rest(ctx); err != nil {
			return err
		}
		before, quiet, err := measure(ctx, 3*o.lasts())
		if err != nil {
			return err
		}
		// The load begins before the backup, and what arrives before or after it is not counted.
		during, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		var took time.Duration
		go func() {
			var err error
			took, _, err = h.backUp(ctx)
			done <- err
			cancel()
		}()
		beside, silent, err := measure(during, time.Hour)
		cancel()
		if err := errors.Join(<-done); err != nil {
			return err
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		r.Beside = append(r.Beside, besideBackup{Rate: load.Rate, Rows: keys.Rows(), BackupSeconds: took.Seconds(), Before: before, During: beside,
			QuietGapMillis: quiet, GapMillis: silent})
		fmt.Printf("open loop at %.0f/s: p99 %.0f µs before, %.0f µs beside a backup of %.2f s; longest time without an answer %.1f and %.1f ms\n",
			load.Rate, before.P99, beside.P99, took.Seconds(), quiet, silent)
	}
	return nil
}

// measureBig times a first backup of a big table, the next one after a hundredth of new rows, a verify, and a restore.
func measureBig(ctx context.Context, o options, dir string, r *results) error {
	h, err := newHost(ctx, dir, "t")
	if err != nil {
		return err
	}
	defer h.close()
	table, keys := h.tables[0], bench.NewKeys(uint64(o.bigRows), 100, 1)
	if err := table.Load(ctx, keys); err != nil {
		return err
	}
	if err := bench.Rest(ctx); err != nil {
		return err
	}
	timed := func(what string, bytes int64, f func() error) error {
		began := time.Now()
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		step := timing{What: what, Seconds: time.Since(began).Seconds(), Bytes: bytes}
		r.Big = append(r.Big, step)
		fmt.Printf("%d rows of 100 B: %s in %.2f s\n", o.bigRows, what, step.Seconds)
		if err := bench.Rest(ctx); err != nil {
			return err
		}
		return nil
	}
	var row *messages.TableResult
	backUp := func() error {
		_, rows, err := h.backUp(ctx)
		if err == nil {
			row = rows[0]
		}
		return err
	}
	if err := timed("first backup", 0, backUp); err != nil {
		return err
	}
	r.Big[len(r.Big)-1].Bytes = row.GetCopiedBytes()
	if err := addRows(ctx, table, keys, o.bigRows/100); err != nil {
		return err
	}
	if err := bench.Rest(ctx); err != nil {
		return err
	}
	if err := timed("next backup, a hundredth of new rows", 0, backUp); err != nil {
		return err
	}
	r.Big[len(r.Big)-1].Bytes = row.GetCopiedBytes()
	path := filepath.Join(dir, "backups", "t", row.GetBackupId(), "db")
	if err := timed("cp of the backup", row.GetBytes(), func() error { return copyDir(path, filepath.Join(dir, "copy")) }); err != nil {
		return err
	}
	if err := timed("verify", row.GetBytes(), func() error {
		_, err := h.g.VerifyBackup(ctx, "t", row.GetBackupId())
		return err
	}); err != nil {
		return err
	}
	return timed("restore", row.GetBytes(), func() error {
		_, err := h.g.RestoreTable(ctx, "t")
		return err
	})
}

// nineRows are the new rows of each table before each run.
const nineRows = 10_000

// measureNine times runs over nine big tables and nine small ones, in turn, each table with the same new rows.
func measureNine(ctx context.Context, o options, dir string, r *results) error {
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprintf("t%d", i))
	}
	size := 100 + 16
	var hosts []*host
	var keys [][]*bench.Keys
	for i, bytes := range []int{o.nineBytes, o.nineBytes / 100} {
		h, err := newHost(ctx, filepath.Join(dir, fmt.Sprint("nine", i)), names...)
		if err != nil {
			return err
		}
		defer h.close()
		hosts = append(hosts, h)
		keys = append(keys, nil)
		for _, table := range h.tables {
			k := bench.NewKeys(uint64(max(1, bytes/size)), 100, 1)
			keys[i] = append(keys[i], k)
			if err := table.Load(ctx, k); err != nil {
				return err
			}
		}
		if err := bench.Rest(ctx); err != nil {
			return err
		}
		if _, _, err := h.backUp(ctx); err != nil {
			return err
		}
	}
	rows := min(nineRows, o.nineBytes/size/10+1)
	for range o.rounds {
		n := nineTables{Bytes: o.nineBytes, Rows: rows}
		for i, h := range hosts {
			for j, table := range h.tables {
				if err := addRows(ctx, table, keys[i][j], rows); err != nil {
					return err
				}
			}
			if err := bench.Rest(ctx); err != nil {
				return err
			}
			took, results, err := h.backUp(ctx)
			if err != nil {
				return err
			}
			copied := int64(0)
			for _, row := range results {
				copied += row.GetCopiedBytes()
			}
			n.Seconds[i], n.Copied[i] = took.Seconds(), copied
			if n.CopySeconds[i], err = copyBytes(h.dir, copied); err != nil {
				return err
			}
		}
		r.Nine = append(r.Nine, n)
		fmt.Printf("nine tables with %d new rows each: %.3f s of %d MiB each, %.3f s of %d MiB each; copied %d and %d KiB, which cp does in %.3f and %.3f s\n",
			rows, n.Seconds[0], o.nineBytes>>20, n.Seconds[1], o.nineBytes/100>>20, n.Copied[0]>>10, n.Copied[1]>>10, n.CopySeconds[0], n.CopySeconds[1])
	}
	return nil
}

func addRows(ctx context.Context, table *bench.Table, keys *bench.Keys, n int) error {
	for n > 0 {
		w := &messages.Write{}
		for ; n > 0 && len(w.GetOps()) < 1000; n-- {
			key := keys.Fresh()
			w.Ops = append(w.Ops, messages.PutOp(key, keys.ValueOf(key)))
		}
		if _, err := table.Handle().Write(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// copyDir copies the files of a directory, and fsyncs each.
func copyDir(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(to) }()
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// copyBytes is how long a copy of so many bytes takes, in seconds: of the sstables in a directory.
func copyBytes(dir string, n int64) (seconds float64, err error) {
	var took time.Duration
	err = filepath.WalkDir(filepath.Join(dir, "backups"), func(path string, e os.DirEntry, err error) error {
		if err != nil || n <= 0 || !strings.HasSuffix(path, ".sst") {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		began, to := time.Now(), filepath.Join(dir, "copied")
		if err := copyFile(path, to); err != nil {
			return err
		}
		took += time.Since(began)
		n -= info.Size()
		return os.Remove(to)
	})
	return took.Seconds(), err
}
