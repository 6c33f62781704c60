package backup_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestRestoreIsDurable takes the power away, with all that was not fsynced, after every change that the copy of a backup makes to
// the disk, and when the restored table serves. What Restore was given to fill is durable with the lineage, file by file.
func TestRestoreIsDurable(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := serveTable(t, disk.mem, "/data", messages.Accounting_ACCOUNTING_EXACT)
	live.put(0, 100, 300)
	live.compact()
	live.put(1000, 1010, 20)
	cut := live.cut()
	want := map[string]string{}
	for key, value := range live.rows {
		want[key] = value
	}
	id := publish(t, d, cut).GetBackupId()
	live.put(0, 50, 10)
	live.close()

	look := func(clone *vfs.MemFS, want map[string]string, undo int) {
		t.Helper()
		dir, err := store.OpenDirectory(store.DirectoryOptions{FS: clone, Path: "/data/gabion"})
		must(t, err)
		_, err = dir.SweepUndo(table, time.Now())
		must(t, err)
		s, err := dir.Open(table, store.OpenOptions{})
		must(t, err)
		sameRows(t, rowsOf(t, s), want)
		must(t, s.CheckBlocks(1, nil))
		must(t, s.Close())
		lineages, err := dir.Lineages(table)
		must(t, err)
		if kept, err := dir.Undo(table); err != nil || len(kept) != undo || len(lineages) != undo+1 {
			t.Errorf("undo %v of lineages %v, %v", kept, lineages, err)
		}
		must(t, dir.Close())
	}
	b, _, err := d.Choose(table, backup.Choice{})
	must(t, err)
	if b.ID != id {
		t.Fatalf("chose %s", b.ID)
	}
	r, err := live.dir.StartRestore(table)
	must(t, err)
	crashes := 0
	disk.hook(nil, func(op, path string) {
		if mutates(op) {
			crashes++
			look(disk.mem.CrashClone(vfs.CrashCloneCfg{}), live.rows, 0)
		}
	})
	_, err = d.Restore(t.Context(), b, r.Path(), backup.VerifyOptions{})
	must(t, err)
	disk.hook(nil, nil)
	_, err = r.Finish(b.Manifest.GetRecord())
	must(t, err)
	look(disk.mem.CrashClone(vfs.CrashCloneCfg{}), live.rows, 0)
	must(t, r.Serve(store.UndoRestored, time.Now().Add(time.Hour)))
	look(disk.mem.CrashClone(vfs.CrashCloneCfg{}), want, 1)
	must(t, r.Abandon())
	look(disk.mem.CrashClone(vfs.CrashCloneCfg{}), want, 1)
	if crashes < 20 {
		t.Errorf("%d crashes", crashes)
	}
}
