package backup_test

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
)

// layered refuses to rename a complete backup, as overlayfs does where a lower layer has its directory.
func layered(op, path string) error {
	if from, to, ok := strings.Cut(path, " -> "); ok && op == "rename" && strings.Contains(to, ".pending-remove-") {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EXDEV}
	}
	return nil
}

func TestCrashAnywhereWhereNoDirectoryIsRenamed(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		disk := newDisk(t)
		disk.lazy = lazy
		crashAnywhere(t, disk, layered)
	}
}

func TestKilledAnywhereWhereNoDirectoryIsRenamed(t *testing.T) { killedAnywhere(t, layered) }

func TestRetainWhereNoDirectoryIsRenamed(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	var all []string
	for range 4 {
		live.put(5, 100)
		all = append(all, publish(t, d, live.cut()).GetBackupId())
	}
	disk.hook(layered, nil)
	_, err := d.Retain(table, backup.Policy{Keep: 2, Lineages: []string{lineageA}}, noon)
	must(t, err)
	ids, pending := complete(t, disk, disk.PathJoin(backupsPath, table))
	if !slices.Equal(ids, all[2:]) || len(pending) > 0 {
		t.Errorf("left %v and %v", ids, pending)
	}
	for _, id := range ids {
		must(t, checkBackup(disk.mem, disk.PathJoin(backupsPath, table, id), live.at))
	}
	// The number of what is gone is not used again, nor that of the newest.
	live.put(5, 100)
	if id := publish(t, d, live.cut()).GetBackupId(); !strings.HasPrefix(id, "000005_") {
		t.Errorf("the next backup is %s", id)
	}
}

// After a removal that fails halfway nobody lists, links from, carries forward or reads the backup. An older version
// takes it for faulty, and the next retention removes it.
func TestHalfRemovedWhereNoDirectoryIsRenamed(t *testing.T) {
	fault := errors.New("injected fault")
	seen := map[string]bool{}
	for n := 0; ; n++ {
		disk := newDisk(t)
		d := openDir(t, disk, backupsPath)
		live := newLive(t, disk.mem, "/data", table, lineageA)
		live.put(5, 100)
		first := publish(t, d, live.cut()).GetBackupId()
		live.put(5, 100)
		second := publish(t, d, live.cut()).GetBackupId()
		dir := disk.PathJoin(backupsPath, table)
		count, fired := 0, false
		disk.hook(func(op, path string) error {
			if err := layered(op, path); err != nil {
				return err
			}
			if !mutates(op) || fired || !strings.Contains(path, first) && path != dir {
				return nil
			}
			if count++; count <= n {
				return nil
			}
			fired = true
			seen[op+" "+kindOf(path, first)] = true
			return fault
		}, nil)
		policy := backup.Policy{Keep: 1, Lineages: []string{lineageA}}
		_, err := d.Retain(table, policy, noon)
		disk.hook(layered, nil)
		if !fired {
			must(t, err)
			if n < 8 {
				t.Errorf("only %d operations", n)
			}
			break
		}
		wantIs(t, err, fault)
		ids, _ := complete(t, disk, dir)
		list, err := d.List(table)
		must(t, err)
		if len(list) != len(ids) || list[0].ID != second {
			t.Errorf("operation %d: listed %d backups, complete are %v", n, len(list), ids)
		}
		for _, b := range list {
			if b.Fault != nil {
				t.Errorf("operation %d: %s is listed with %v", n, b.ID, b.Fault)
			}
			must(t, checkBackup(disk.mem, disk.PathJoin(dir, b.ID), live.at))
		}
		// What an older version sees is whole, or has no manifest.
		old := disk.PathJoin(dir, first)
		if exists(t, disk, disk.PathJoin(old, "manifest.json")) {
			must(t, checkBackup(disk.mem, old, live.at))
		}
		_, err = d.Retain(table, policy, noon)
		must(t, err)
		if ids, pending := complete(t, disk, dir); !slices.Equal(ids, []string{second}) || len(pending) > 0 {
			t.Errorf("operation %d: the next retention left %v and %v", n, ids, pending)
		}
		live.close()
	}
	for _, op := range []string{"mkdir name", "sync parent", "remove manifest.json", "removeall backup", "removeall name"} {
		if !seen[op] {
			t.Errorf("no %s was failed: %v", op, seen)
		}
	}
}

// kindOf says what a path is to the backup that is removed.
func kindOf(changed, id string) string {
	switch path.Base(changed) {
	case id:
		return "backup"
	case ".pending-remove-" + id:
		return "name"
	case table:
		return "parent"
	}
	return path.Base(changed)
}

// A process dies in the middle of such a removal, and the power fails while the next one sweeps.
func TestCrashDuringRestartSweepWhereNoDirectoryIsRenamed(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	id := publish(t, d, live.cut()).GetBackupId()
	live.close()
	must(t, d.Close())
	// The name beside it is in the page cache alone.
	must(t, disk.mem.MkdirAll(disk.PathJoin(backupsPath, table, ".pending-remove-"+id), 0o755))
	crashes := 0
	disk.hook(layered, func(op, path string) {
		if mutates(op) {
			crashes++
			checkAfterCrash(t, newHookFS(disk.mem.CrashClone(vfs.CrashCloneCfg{})), backupsPath, live, nil)
		}
	})
	openDir(t, disk, backupsPath)
	disk.hook(nil, nil)
	if ids, pending := complete(t, disk, disk.PathJoin(backupsPath, table)); len(ids)+len(pending) > 0 || crashes < 10 {
		t.Errorf("left %v and %v after %d crashes", ids, pending, crashes)
	}
}

// The memory file system keeps removals in the order of their fsyncs only, so that no crash of it shows these two.
func TestOrderOfARemovalWhereNoDirectoryIsRenamed(t *testing.T) {
	disk := newDisk(t)
	disk.lazy = true
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(5, 100)
	first := publish(t, d, live.cut()).GetBackupId()
	live.put(5, 100)
	publish(t, d, live.cut())
	var trace []string
	disk.hook(layered, func(op, path string) {
		if kind := kindOf(path, first); mutates(op) && !strings.HasSuffix(kind, ".json.aside") {
			trace = append(trace, op+" "+kind)
		}
	})
	_, err := d.Retain(table, backup.Policy{Keep: 1, Lineages: []string{lineageA}}, noon)
	must(t, err)
	want := []string{"mkdir name", "sync parent", "remove manifest.json", "sync backup", "removeall backup", "sync parent",
		"removeall name", "sync parent"}
	if !slices.Equal(trace, want) {
		t.Errorf("the steps are\n%q, want\n%q", trace, want)
	}
}
