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
