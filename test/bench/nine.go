package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/gabiondb/gabion/bench"
)

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
		for _, cold := range []bool{false, true} {
			n := nineTables{Bytes: o.nineBytes, Rows: rows, Cold: cold}
			for i, h := range hosts {
				if err := nineOnce(ctx, h, keys[i], &n, i); err != nil {
					return err
				}
			}
			r.Nine = append(r.Nine, n)
			fmt.Printf("nine tables with %d new rows each, %s: %.3f s of %d MiB each, %.3f s of %d KiB each; copied %d and %d KiB, which cp does in %.3f and %.3f s\n",
				rows, n.cache(), n.Seconds[0], o.nineBytes>>20, n.Seconds[1], o.nineBytes/100>>10, n.Copied[0]>>10, n.Copied[1]>>10, n.CopySeconds[0], n.CopySeconds[1])
		}
	}
	return nil
}

// nineOnce times a run over the tables of a host, after new rows in each.
func nineOnce(ctx context.Context, h *host, keys []*bench.Keys, n *nineTables, i int) error {
	for j, table := range h.tables {
		if err := addRows(ctx, table, keys[j], n.Rows); err != nil {
			return err
		}
	}
	if err := bench.Rest(ctx); err != nil {
		return err
	}
	if n.Cold {
		if err := evict(h.dir); err != nil {
			return fmt.Errorf("evict %s: %w", h.dir, err)
		}
	}
	took, results, err := h.backUp(ctx)
	if err != nil {
		return err
	}
	for _, row := range results {
		n.Copied[i] += row.GetCopiedBytes()
	}
	n.Seconds[i] = took.Seconds()
	n.CopySeconds[i], err = copyBytes(h.dir, n.Copied[i])
	return err
}
