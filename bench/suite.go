package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
)

// Options say what Gabion is to do on a disk.
type Options struct {
	FS  vfs.FS
	Dir string // empty, and the caller's to remove
	// Rows are there when a load begins, with values of ValueBytes.
	Rows, ValueBytes int
	// Lasts is how long each load is measured.
	Lasts time.Duration
	// Tell is told what is measured next. Nil tells nobody.
	Tell func(what string)
}

// Report is what Gabion did.
type Report struct {
	Machine    Machine `json:"machine"`
	Rows       int     `json:"rows"`
	KeyBytes   int     `json:"key_bytes"`
	ValueBytes int     `json:"value_bytes"`
	CacheBytes int64   `json:"cache_bytes"`
	Compaction string  `json:"compaction"`
	Disk       Disk    `json:"disk"`
	// Loads name the accounting of the table as their contender.
	Loads []Row `json:"loads"`
	// Limit says in words what limits puts.
	Limit string `json:"limit"`
}

// Compaction is the state of a store when a load of it begins.
const Compaction = "as loaded and warmed, background work at rest"

// cacheBytes is the block cache of the tables.
const cacheBytes = 64 << 20

// windowSize is how many puts of a sender that does not wait may be unanswered.
const windowSize = 8192

// putCallers are the callers of the load whose limit is told.
const putCallers = 64

// Measure measures the disk of a directory, and then Gabion on it: two tables, one of each accounting.
func Measure(ctx context.Context, o Options) (r *Report, err error) {
	r = &Report{Machine: MachineOf(o.Dir), Rows: o.Rows, KeyBytes: KeyBytes, ValueBytes: o.ValueBytes, CacheBytes: cacheBytes, Compaction: Compaction}
	tell := func(what string) {
		if o.Tell != nil {
			o.Tell(what)
		}
	}
	tell("the disk")
	if r.Disk, err = ProbeDisk(ctx, o.FS, o.Dir, o.Lasts); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	defer system.Shutdown()
	fs := &countFS{FS: o.FS}
	g, err := actors.Start(ctx, system, actors.Config{FS: fs, CacheBytes: cacheBytes, Dir: o.FS.PathJoin(o.Dir, "data"), Tables: []string{"exact", "at_cut"}, AtCut: []string{"at_cut"},
		Logger: quiet, DisableSchedule: true, DisableDrill: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Stop(context.WithoutCancel(ctx))) }()
	for _, name := range []string{"at_cut", "exact"} {
		table, keys := NewTable(g, system, name), NewKeys(uint64(o.Rows), o.ValueBytes, 1)
		tell("loading a table, " + name)
		if err := table.Load(ctx, keys); err != nil {
			return nil, err
		}
		for _, l := range []struct {
			what string
			load func() Load
		}{
			{"put, one sender that does not wait", func() Load { return table.Window(windowSize, (*Keys).Fresh) }},
			{"put, 1 caller", func() Load { return Load{Op: Puts(table)} }},
			{fmt.Sprintf("put, %d callers", putCallers), func() Load { return Load{Callers: putCallers, Op: Puts(table)} }},
			{"get, 1 caller", func() Load { return Load{Op: Gets(table)} }},
			{"get, 64 callers", func() Load { return Load{Callers: 64, Op: Gets(table)} }},
			{"scan of up to 100 rows, 1 caller", func() Load { return Load{Op: Scans(table)} }},
		} {
			tell(l.what + ", " + name)
			s, err := measure(ctx, l.load, keys, o.Lasts, fs)
			if err != nil {
				return nil, err
			}
			r.Loads = append(r.Loads, Row{Workload: l.what, Contender: name, Samples: []Sample{s}})
			if r.Limit == "" && l.what == fmt.Sprintf("put, %d callers", putCallers) {
				r.Limit = limit(s, r.Disk)
			}
		}
	}
	return r, nil
}

// measure measures a load that was warmed. What puts have caused, as compactions do, is part of what they write.
func measure(ctx context.Context, load func() Load, keys *Keys, lasts time.Duration, fs *countFS) (s Sample, err error) {
	if _, err := Run(ctx, load(), keys, lasts/4); err != nil {
		return s, err
	}
	if err := Rest(ctx); err != nil {
		return s, err
	}
	written := fs.written.Load()
	if s, err = Run(ctx, load(), keys, lasts); err != nil {
		return s, err
	}
	if err := Rest(ctx); err != nil {
		return s, err
	}
	if s.Ops > 0 {
		s.Written = float64(fs.written.Load()-written) / float64(s.Ops) / float64(keys.Size())
	}
	return s, nil
}

// busyShare of the processors is taken for all of them.
const busyShare = 0.8

// limit says what limits puts by many callers.
func limit(s Sample, d Disk) string {
	waits := s.P50 / d.SyncP50
	switch {
	case s.Busy >= busyShare:
		return fmt.Sprintf("the processors: they were busy for %.0f %% of the time", 100*s.Busy)
	case waits <= 4:
		return fmt.Sprintf("the fsync of the disk: half of the puts took %.0f µs or more, an fsync alone takes %.0f µs, and the processors were busy for %.0f %% of the time",
			s.P50, d.SyncP50, 100*s.Busy)
	}
	return fmt.Sprintf("neither the processors, which were busy for %.0f %% of the time, nor one fsync of %.0f µs, beside a put of %.0f µs: something else uses the disk or the machine",
		100*s.Busy, d.SyncP50, s.P50)
}
