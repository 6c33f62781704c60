package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/gabiondb/gabion/bench"
	"github.com/gabiondb/gabion/messages"
)

// Steps of the big table.
const (
	firstBackup = "first backup"
	nextBackup  = "next backup, a hundredth of new rows"
	verifyStep  = "verify"
	coldVerify  = "verify, the page cache cold"
	coldRestore = "restore, the page cache cold"
	restoreStep = "restore"
)

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
	timed := func(what string, size int64, f func() error) error {
		var data bytes.Buffer
		if err := pprof.StartCPUProfile(&data); err != nil {
			return err
		}
		began := time.Now()
		err := f()
		took := time.Since(began)
		pprof.StopCPUProfile()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		step := timing{What: what, Seconds: took.Seconds(), Bytes: size}
		r.Big = append(r.Big, step)
		shares, err := takeApart(data.Bytes(), backupParts)
		if err != nil {
			return err
		}
		r.BackupProfiles = append(r.BackupProfiles, apart{"big table", what, shares})
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
	if err := timed(firstBackup, 0, backUp); err != nil {
		return err
	}
	r.Big[len(r.Big)-1].Bytes = row.GetCopiedBytes()
	if err := addRows(ctx, table, keys, o.bigRows/100); err != nil {
		return err
	}
	if err := bench.Rest(ctx); err != nil {
		return err
	}
	if err := timed(nextBackup, 0, backUp); err != nil {
		return err
	}
	r.Big[len(r.Big)-1].Bytes = row.GetCopiedBytes()
	path := filepath.Join(dir, "backups", "t", row.GetBackupId(), "db")
	if err := timed("cp of the backup", row.GetBytes(), func() error { return copyDir(path, filepath.Join(dir, "copy")) }); err != nil {
		return err
	}
	verify := func() error {
		_, err := h.g.VerifyBackup(ctx, "t", row.GetBackupId())
		return err
	}
	restore := func() error {
		_, err := h.g.RestoreTable(ctx, "t")
		return err
	}
	for _, step := range []struct {
		what string
		cold bool
		f    func() error
	}{{verifyStep, false, verify}, {restoreStep, false, restore}, {coldVerify, true, verify}, {coldRestore, true, restore}} {
		if step.cold {
			if err := evict(dir); err != nil {
				return fmt.Errorf("evict %s: %w", dir, err)
			}
		}
		if err := timed(step.what, row.GetBytes(), step.f); err != nil {
			return err
		}
	}
	return nil
}
