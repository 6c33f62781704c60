package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/bench"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
	"github.com/gabiondb/gabion/store"
)

// Limits of gabion bench.
const (
	mostBenchRows    = 100_000_000
	mostBenchValue   = 1 << 20
	mostBenchSeconds = 3600
)

func newBench(out *output) *cobra.Command {
	var dir string
	var rows, value int
	var seconds float64
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what tables do on a disk, and what limits it",
		Long: `Measure what tables do on a disk, and what limits it. Two tables, one exact and one at_cut, are filled in a directory of
their own below --dir, which is removed at the end; loads run one after another, and beside them the disk is measured with
nothing in between. The loads are those of docs/performance.md.`,
		Example: `  gabion bench --dir /var/lib/gabion
  gabion bench --dir . --rows 1000000 --value-bytes 1024 --seconds 10`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var faults []error
			for _, f := range []struct {
				name      string
				got, most float64
			}{{"--rows", float64(rows), mostBenchRows}, {"--value-bytes", float64(value), mostBenchValue}, {"--seconds", seconds, mostBenchSeconds}} {
				if !(f.got > 0 && f.got <= f.most) { // nor is it no number
					faults = append(faults, usagef(fmt.Sprintf("give a number above 0, up to %.0f", f.most), "%s is %v", f.name, f.got))
				}
			}
			if err := errors.Join(faults...); err != nil {
				return err
			}
			return measure(cmd, out, dir, bench.Options{FS: store.RealFS(), Rows: rows, ValueBytes: value, Lasts: time.Duration(seconds * float64(time.Second))})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "measure the disk of `DIR`")
	cmd.Flags().IntVar(&rows, "rows", 100_000, "`N` rows are there when a load begins")
	cmd.Flags().IntVar(&value, "value-bytes", 100, "values have `N` bytes")
	cmd.Flags().Float64Var(&seconds, "seconds", 2, "measure each load for `S` seconds")
	return cmd
}

func measure(cmd *cobra.Command, out *output, dir string, o bench.Options) (err error) {
	o.Dir, err = os.MkdirTemp(dir, "gabion-bench-")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return messages.WithHint(fmt.Errorf("directory %s: %w", dir, messages.ErrNotFound), "name one that is there, on the disk to measure")
	case err != nil:
		return messages.WithHint(fmt.Errorf("make a directory to measure in: %w", err), "name one with --dir that you may write to, on the disk to measure")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	bar := newProgress(cmd.ErrOrStderr(), 0)
	defer bar.clear()
	o.Tell = func(what string) { bar.say("measuring: " + what) }
	r, err := bench.Measure(cmd.Context(), o)
	bar.clear()
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	if out.json {
		return out.line(r)
	}
	return printMeasured(out, r)
}

func printMeasured(out *output, r *bench.Report) error {
	if err := out.printf("machine  %v\ndisk     4 KiB written and fsynced: p50 %s, p99 %s; %.0f MiB/s one after another\nrows     %d of %s at the start, block cache %s; each load: %s\n\n",
		r.Machine, micros(r.Disk.SyncP50), micros(r.Disk.SyncP99), r.Disk.WriteMiB, r.Rows, show.Size(int64(r.ValueBytes)), show.Size(r.CacheBytes), r.Compaction); err != nil {
		return err
	}
	var rows [][]string
	for _, row := range r.Loads {
		s := row.Samples[0]
		latency := []string{micros(s.P50), micros(s.P99)}
		if s.P50 == 0 { // nobody waits
			latency = []string{"-", "-"}
		}
		rows = append(rows, []string{row.Workload, row.Contender, strconv.FormatFloat(s.PerSecond(), 'f', 0, 64), latency[0], latency[1],
			strconv.FormatFloat(s.Allocs, 'f', 1, 64), strconv.FormatFloat(s.Written, 'f', 1, 64), strconv.FormatFloat(s.CPU, 'f', 1, 64) + "µs", fmt.Sprintf("%.0f%%", 100*s.Busy)})
	}
	if err := out.table("", []string{"LOAD", "TABLE", "PER SECOND", "P50", "P99", "ALLOCATIONS", "WRITTEN/BYTE", "CPU", "BUSY"}, rows); err != nil {
		return err
	}
	return out.printf("\nputs by many callers are limited by %s\n", r.Limit)
}

// micros is a time in microseconds, as people read it.
func micros(us float64) string {
	d := time.Duration(us * 1e3)
	switch {
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= 100*time.Microsecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}
