package backup_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

func TestPinnedBackupsStay(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	var all []string
	for range 5 {
		live.put(5, 100)
		all = append(all, publish(t, d, live.cut()).GetBackupId())
	}
	must(t, d.Pin(table, all[0], "before the migration"))
	must(t, d.Pin(table, all[0], "another reason")) // the first one stays
	must(t, d.Pin(table, all[2], ""))
	wantIs(t, d.Pin(table, "000099_2026-02-11T12-00-00Z", "x"), messages.ErrNotFound)
	wantIs(t, d.Pin(table, "../"+table, "x"), messages.ErrInvalid)
	wantIs(t, d.Pin("No Table", all[0], "x"), messages.ErrInvalid)

	dir := disk.PathJoin(backupsPath, table)
	retain := func(want ...string) {
		t.Helper()
		_, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
		must(t, err)
		left, err := d.List(table)
		must(t, err)
		var ids []string
		for _, b := range slices.Backward(left) {
			ids = append(ids, b.ID)
			switch {
			case b.ID == all[0] && b.Pinned != "before the migration",
				b.ID == all[2] && b.Pinned == "",
				b.ID == all[4] && b.Pinned != "":
				t.Errorf("backup %s is pinned: %q", b.ID, b.Pinned)
			}
		}
		if !slices.Equal(ids, want) {
			t.Errorf("left %v, want %v", ids, want)
		}
	}
	retain(all[0], all[2], all[4])
	// A pin that cannot be read is a pin.
	overwrite(t, disk, disk.PathJoin(dir, "pins", all[2]+".json"), []byte("{"))
	retain(all[0], all[2], all[4])
	// Where it cannot be told what is pinned, nothing is removed.
	live.put(1, 10)
	all = append(all, publish(t, d, live.cut()).GetBackupId())
	disk.hook(func(op, path string) error {
		if op == "list" && strings.HasSuffix(path, "/pins") {
			return errInjected
		}
		return nil
	}, nil)
	if _, err := d.Retain(table, backup.Policy{Keep: 1}, noon); !errors.Is(err, errInjected) {
		t.Errorf("retain = %v", err)
	}
	disk.hook(nil, nil)
	retain(all[0], all[2], all[5])
	must(t, disk.mem.RemoveAll(disk.PathJoin(dir, "pins", all[0]+".json")))
	retain(all[2], all[5])
}

// A pin that was acknowledged outlives a crash at any later instant.
func TestPinIsDurable(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(5, 100)
	id := publish(t, d, live.cut()).GetBackupId()
	must(t, d.Pin(table, id, "kept"))
	image := disk.mem.CrashClone(vfs.CrashCloneCfg{})
	left, err := openDir(t, newHookFS(image), backupsPath).List(table)
	must(t, err)
	if len(left) != 1 || left[0].Pinned != "kept" {
		t.Errorf("after a crash: %+v", left)
	}
}

// TestPinAgain: a pin that could not be made durable is, once it is asked for again.
func TestPinAgain(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(5, 10)
	id := publish(t, d, live.cut()).GetBackupId()
	pins := disk.PathJoin(backupsPath, table, "pins")
	disk.hook(func(op, path string) error {
		if op == "sync" && path == pins {
			return errInjected
		}
		return nil
	}, nil)
	wantIs(t, d.Pin(table, id, "kept"), errInjected)
	disk.hook(nil, nil)
	must(t, d.Pin(table, id, "kept"))
	after := openDir(t, disk.mem.CrashClone(vfs.CrashCloneCfg{}), backupsPath)
	backups, err := after.List(table)
	must(t, err)
	if len(backups) != 1 || backups[0].Pinned != "kept" {
		t.Errorf("after a power loss: %v", backups)
	}
}
