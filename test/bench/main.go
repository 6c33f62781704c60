// Command bench measures Gabion beside raw Pebble, bbolt and Badger, round by round in turn, and writes the raw figures as
// JSON, tables as Markdown and plots as SVG. docs/performance.md of Gabion is made from what it writes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/gabiondb/gabion/bench"
)

// options are the flags.
type options struct {
	rounds, rows, bigRows int
	nineBytes, cutBytes   int
	idleTables            int
	seconds               float64
	only                  *regexp.Regexp
	out, dir              string
}

// lasts is how long one run of a load is measured.
func (o options) lasts() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

func main() {
	if os.Getenv(idleDir) != "" {
		if err := idle(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: idle:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each contender has its turn")
	flags.IntVar(&o.rows, "rows", 100_000, "rows that are there when a load begins")
	flags.IntVar(&o.bigRows, "big-rows", 5_000_000, "rows of the table whose backup, verify and restore are timed")
	flags.IntVar(&o.cutBytes, "cut-bytes", 5<<30, "bytes of the table whose cut may hold up no commit for long")
	flags.IntVar(&o.nineBytes, "nine-bytes", 1<<30, "bytes of each of the nine big tables that are backed up beside nine small ones")
	flags.Float64Var(&o.seconds, "seconds", 1, "how long each run is measured")
	flags.IntVar(&o.idleTables, "idle-tables", 1000, "tables that idle")
	quick := flags.Bool("quick", false, "one round of a little, to see that all of it runs")
	only := flags.String("only", "", "only the workloads whose names match this `regexp`")
	flags.StringVar(&o.out, "out", "results", "directory for what is written")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "directory on the disk to measure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *quick {
		o.rounds, o.rows, o.bigRows, o.nineBytes, o.cutBytes, o.idleTables, o.seconds = 1, 2000, 5000, 1<<20, 1<<20, 20, 0.05
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work, err := os.MkdirTemp(o.dir, "gabion-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	for _, sub := range []string{"load", "backup"} {
		if err := os.Mkdir(filepath.Join(work, sub), 0o755); err != nil {
			return err
		}
	}
	r := &results{Machine: bench.MachineOf(work), Rounds: o.rounds, Rows: o.rows, Seconds: o.seconds, BigRows: o.bigRows, NineBytes: o.nineBytes, CacheBytes: cacheBytes}
	fmt.Println(r.Machine)
	if err := measureLoads(ctx, o, filepath.Join(work, "load"), r); err != nil {
		return err
	}
	if err := measureProfiles(ctx, o, filepath.Join(work, "load"), r); err != nil {
		return err
	}
	if err := measureBackups(ctx, o, filepath.Join(work, "backup"), r); err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	return r.write(o.out)
}
