package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/bench"
	"github.com/gabiondb/gabion/messages"
)

// measureBackups times backups, and what they do to those who write meanwhile; and what idle tables cost.
func measureBackups(ctx context.Context, o options, dir string, r *results) error {
	if o.only.MatchString("backup, open loop") {
		var err error
		if r.Beside, err = measureBeside(ctx, o, dir, max(o.rows, o.bigRows/5), 100); err != nil {
			return fmt.Errorf("backup, open loop: %w", err)
		}
	}
	if o.only.MatchString("backup, cut of a big table") {
		var err error
		if r.Cut, err = measureBeside(ctx, o, dir, o.cutBytes/(1<<10+bench.KeyBytes), 1<<10); err != nil {
			return fmt.Errorf("backup, cut of a big table: %w", err)
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
	if o.only.MatchString("idle tables") {
		if err := measureIdle(ctx, o, filepath.Join(dir, "idle"), r); err != nil {
			return fmt.Errorf("idle tables: %w", err)
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

// newestBegan is when the newest backup of a table began.
func (h *host) newestBegan(ctx context.Context, table string) (time.Time, error) {
	list, err := h.g.ListBackups(ctx, table)
	if err == nil && len(list.GetBackups()) == 0 {
		err = fmt.Errorf("table %q has no backup", table)
	}
	if err != nil {
		return time.Time{}, err
	}
	return list.GetBackups()[0].GetStarted().AsTime(), nil
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
