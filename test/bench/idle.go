package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
)

// idleDir names, for the process that idles, the directory whose tables it opens; idleNumber how many, idleLasts how long.
const (
	idleDir    = "GABION_BENCH_IDLE_DIR"
	idleNumber = "GABION_BENCH_IDLE_TABLES"
	idleLasts  = "GABION_BENCH_IDLE_LASTS"
)

// idleFigures are what tables cost that nobody uses, in a process of their own.
type idleFigures struct {
	Tables       int     `json:"tables"`
	OpenSeconds  float64 `json:"open_seconds"`
	ResidentMB   float64 `json:"resident_mb"`
	Processor    float64 `json:"share_of_one_processor"`
	Written      float64 `json:"share_of_one_processor_once_written"` // after a write of each table
	WatchSeconds float64 `json:"watch_seconds"`
}

// measureIdle makes tables of one row each, and has a process open them again and idle.
func measureIdle(ctx context.Context, o options, dir string, r *results) error {
	g, stop, err := startIdle(ctx, dir, o.idleTables)
	if err != nil {
		return err
	}
	if err := errors.Join(writeEach(ctx, g, o.idleTables), stop()); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	process := exec.CommandContext(ctx, self)
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	process.Env = append(os.Environ(), idleDir+"="+dir, fmt.Sprintf("%s=%d", idleNumber, o.idleTables), fmt.Sprintf("%s=%v", idleLasts, 10*o.lasts()))
	process.Stderr = os.Stderr
	out, err := process.Output()
	if err != nil {
		return fmt.Errorf("process that idles: %w", err)
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&r.Idle); err != nil {
		return fmt.Errorf("read what the process that idles wrote, %q: %w", out, err)
	}
	fmt.Printf("%d idle tables: opened in %.2f s, %.0f MB resident, %.2f %% of one processor, %.2f %% once each was written\n", r.Idle.Tables, r.Idle.OpenSeconds,
		r.Idle.ResidentMB, 100*r.Idle.Processor, 100*r.Idle.Written)
	return nil
}

// idle is the process that idles: it opens the tables, does nothing, and writes its figures to stdout.
func idle() error {
	var n int
	if _, err := fmt.Sscan(os.Getenv(idleNumber), &n); err != nil {
		return fmt.Errorf("%s: %w", idleNumber, err)
	}
	lasts, err := time.ParseDuration(os.Getenv(idleLasts))
	if err != nil {
		return fmt.Errorf("%s: %w", idleLasts, err)
	}
	began := time.Now()
	ctx := context.Background()
	g, stop, err := startIdle(ctx, os.Getenv(idleDir), n)
	if err != nil {
		return err
	}
	f := idleFigures{Tables: n, OpenSeconds: time.Since(began).Seconds(), WatchSeconds: lasts.Seconds()}
	f.Processor = watch(lasts)
	if f.ResidentMB, err = residentMB(); err != nil {
		return err
	}
	if err := writeEach(ctx, g, n); err != nil {
		return err
	}
	f.Written = watch(lasts)
	return errors.Join(json.NewEncoder(os.Stdout).Encode(f), stop())
}

// watch is the share of one processor that the process uses for so long, once what is left to do has been done.
func watch(lasts time.Duration) float64 {
	time.Sleep(lasts / 3)
	before, began := used(), time.Now()
	time.Sleep(lasts)
	return (used() - before).Seconds() / time.Since(began).Seconds()
}

func idleName(i int) string { return fmt.Sprintf("t%03d", i) }

// writeEach stores a row in each table.
func writeEach(ctx context.Context, g *actors.Gabion, n int) error {
	for i := range n {
		if _, err := g.Table(idleName(i)).Put(ctx, []byte("key"), []byte("value")); err != nil {
			return err
		}
	}
	return nil
}

// startIdle serves so many tables.
func startIdle(ctx context.Context, dir string, n int) (g *actors.Gabion, stop func() error, err error) {
	var names []string
	for i := range n {
		names = append(names, idleName(i))
	}
	quiet := slog.New(slog.DiscardHandler)
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }))
	g, err = actors.Start(ctx, system, actors.Config{Dir: dir, Tables: names, Logger: quiet, DisableSchedule: true})
	if err != nil {
		return nil, nil, err
	}
	return g, func() error {
		defer system.Shutdown()
		return g.Stop(context.Background())
	}, nil
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMB is the memory of the process that is in use, in millions of bytes, from /proc/self/statm.
func residentMB() (float64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, err
	}
	return float64(pages*os.Getpagesize()) / 1e6, nil
}
