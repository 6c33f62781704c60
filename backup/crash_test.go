package backup_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/store"
)

// TestCrashAnywhere takes the power away after every file operation of three Publishes and a Retain that
// removes two backups.
func TestCrashAnywhere(t *testing.T) { crashAnywhere(t, newDisk(t), nil) }

func crashAnywhere(t *testing.T, disk *hookFS, before func(op, path string) error) {
	rng := newRand(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	var cuts []backup.Cut
	for range 3 {
		live.put(10, 600)
		live.log()
		cuts = append(cuts, live.cut())
	}
	live.close() // nothing but the backup's operations happens from here on

	var published []string
	crashes := 0
	disk.hook(before, func(op, path string) {
		if !mutates(op) {
			return
		}
		for _, percent := range []int{0, 50, 1 + rng.IntN(100)} {
			crashes++
			clone := newHookFS(disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
			checkAfterCrash(t, clone, backupsPath, live, published)
		}
		if t.Failed() {
			t.Fatalf("after %s %s", op, path)
		}
	})
	for _, cut := range cuts {
		published = append(published, publish(t, d, cut).GetBackupId())
	}
	published = published[2:] // the others may go from now on
	decisions, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
	must(t, err)
	disk.hook(nil, nil)
	if len(decisions) != 3 || decisions[1].GetKeep() || decisions[2].GetKeep() {
		t.Errorf("decided %v", decisions)
	}
	if crashes < 250 {
		t.Errorf("only %d crashes", crashes)
	}
}

// TestKilledAnywhere is TestCrashAnywhere on the real file system, where a rename over a full directory fails. What a kill
// leaves is the disk as it is.
func TestKilledAnywhere(t *testing.T) { killedAnywhere(t, nil) }

func killedAnywhere(t *testing.T, before func(op, path string) error) {
	bare := store.RealFS()
	root, err := store.RealPath(bare, t.TempDir())
	must(t, err)
	disk := &hookFS{FS: bare}
	path := bare.PathJoin(root, "backups")
	d := openDir(t, disk, path)
	live := newLive(t, bare, root, table, lineageA)
	var cuts []backup.Cut
	for range 3 {
		live.put(10, 600)
		live.log()
		cuts = append(cuts, live.cut())
	}
	live.close()

	var published []string
	kills := 0
	disk.hook(before, func(op, changed string) {
		if !mutates(op) || op == "sync" { // which changes nothing here
			return
		}
		kills++
		image := bare.PathJoin(root, fmt.Sprint("killed", kills))
		must(t, os.CopyFS(image, os.DirFS(path))) // which gives d's lock free: nobody else is here
		checkAfterCrash(t, &hookFS{FS: bare}, image, live, published)
		must(t, bare.RemoveAll(image))
		if t.Failed() {
			t.Fatalf("after %s %s", op, changed)
		}
	})
	for _, cut := range cuts {
		published = append(published, publish(t, d, cut).GetBackupId())
	}
	published = published[2:]
	_, err = d.Retain(table, backup.Policy{Keep: 1}, noon)
	must(t, err)
	disk.hook(nil, nil)
	if left, _ := complete(t, disk, disk.PathJoin(path, table)); len(left) != 1 || kills < 80 {
		t.Errorf("%d kills, left are %v", kills, left)
	}
}

// checkAfterCrash holds the rule of the package against what a crash left, before and after the next Open.
func checkAfterCrash(t *testing.T, disk *hookFS, path string, live *liveTable, published []string) {
	t.Helper()
	dir := disk.PathJoin(path, table)
	ids, _ := complete(t, disk, dir)
	for _, id := range ids {
		if err := checkBackup(disk.FS, disk.PathJoin(dir, id), live.at); err != nil {
			t.Errorf("complete name: %v", err)
		}
	}
	for _, id := range published {
		if !slices.Contains(ids, id) {
			t.Errorf("published backup %s is gone, left are %v", id, ids)
		}
	}
	d, err := backup.Open(backup.Options{FS: disk, Path: path, StoreID: testStore})
	if err != nil {
		t.Errorf("after a crash: %v", err)
		return
	}
	swept, pending := complete(t, disk, dir)
	if len(pending) > 0 || !slices.Equal(swept, ids) {
		t.Errorf("the sweep left %v and %v, of %v", swept, pending, ids)
	}
	backups, err := d.List(table)
	if err != nil || len(backups) != len(ids) {
		t.Errorf("listed %d backups of %v: %v", len(backups), ids, err)
	}
	for _, b := range backups {
		if b.Fault != nil {
			t.Errorf("listed %s with %v", b.ID, b.Fault)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestCrashDuringRestartSweep: a process dies between a removal's rename and its fsync, the next one sweeps,
// and then the power fails. The backup must not come back without its files.
func TestCrashDuringRestartSweep(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	id := publish(t, d, live.cut()).GetBackupId()
	live.close()
	must(t, d.Close())
	dir := disk.PathJoin(backupsPath, table)
	must(t, disk.mem.Rename(disk.PathJoin(dir, id), disk.PathJoin(dir, ".pending-remove-"+id)))
	crashes := 0
	disk.hook(nil, func(op, path string) {
		if mutates(op) {
			crashes++
			clone := newHookFS(disk.mem.CrashClone(vfs.CrashCloneCfg{}))
			checkAfterCrash(t, clone, backupsPath, live, nil)
		}
	})
	openDir(t, disk, backupsPath)
	disk.hook(nil, nil)
	if crashes < 10 {
		t.Errorf("only %d crashes", crashes)
	}
}

// TestCarryForwardMakesDurable: a process dies between a publish's rename and its fsync, the next one credits
// the backup to a run, and then the power fails.
func TestCarryForwardMakesDurable(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	id := publish(t, d, live.cut()).GetBackupId()
	dir := disk.PathJoin(backupsPath, table)
	must(t, disk.mem.Rename(disk.PathJoin(dir, id), disk.PathJoin(dir, ".pending-"+id)))
	must(t, store.SyncDir(disk.mem, dir))
	must(t, disk.mem.Rename(disk.PathJoin(dir, ".pending-"+id), disk.PathJoin(dir, id)))
	row, err := d.CarryForward(table, live.content())
	must(t, err)
	if row == nil {
		t.Fatal("not carried forward")
	}
	checkAfterCrash(t, newHookFS(disk.mem.CrashClone(vfs.CrashCloneCfg{})), backupsPath, live, []string{id})
}

// TestCrashDuringOpen: whatever is left of a directory being made, the next Open takes it.
func TestCrashDuringOpen(t *testing.T) {
	rng := newRand(t)
	disk := newDisk(t)
	crashes := 0
	disk.hook(nil, func(op, path string) {
		if !mutates(op) {
			return
		}
		for _, percent := range []int{0, 50, 100} {
			crashes++
			clone := disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			again, err := backup.Open(backup.Options{FS: clone, Path: backupsPath, StoreID: testStore})
			if err != nil {
				t.Errorf("after %s %s, %d %%: %v", op, path, percent, err)
				continue
			}
			must(t, again.Close())
		}
	})
	openDir(t, disk, backupsPath)
	disk.hook(nil, nil)
	if crashes < 20 {
		t.Errorf("only %d crashes", crashes)
	}
	clone := disk.mem.CrashClone(vfs.CrashCloneCfg{})
	if id, err := backup.StoreIDAt(clone, backupsPath); err != nil || id != testStore {
		t.Errorf("store id is %q, %v after a crash", id, err)
	}
}
