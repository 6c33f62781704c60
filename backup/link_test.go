package backup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/store"
)

// TestPublishRefusesToLink spoils the older backup, or the claim to it, in one way each. What is linked all
// the same would show in copied bytes, or spoil the new backup.
func TestPublishRefusesToLink(t *testing.T) {
	firstSST := func(t *testing.T, fs vfs.FS, db string) string {
		names, err := fs.List(db)
		must(t, err)
		slices.Sort(names)
		i := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, ".sst") })
		return fs.PathJoin(db, names[i])
	}
	for _, c := range []struct {
		name  string
		all   bool // nothing may be linked; else all but the spoilt file
		spoil func(t *testing.T, disk *hookFS, base string, cut *backup.Cut)
	}{
		{"size changed", false, func(t *testing.T, disk *hookFS, base string, _ *backup.Cut) {
			overwrite(t, disk.mem, firstSST(t, disk, disk.PathJoin(base, "db")), []byte("short"))
		}},
		{"file missing", false, func(t *testing.T, disk *hookFS, base string, _ *backup.Cut) {
			must(t, disk.mem.Remove(firstSST(t, disk, disk.PathJoin(base, "db"))))
		}},
		{"live file is another", false, func(t *testing.T, disk *hookFS, _ string, cut *backup.Cut) {
			path := firstSST(t, disk, cut.Staging)
			data, err := store.ReadFile(disk.mem, path)
			must(t, err)
			overwrite(t, disk.mem, path, data)
		}},
		{"manifest does not match", true, func(t *testing.T, disk *hookFS, base string, _ *backup.Cut) {
			overwrite(t, disk.mem, disk.PathJoin(base, "manifest.sha256"), []byte(strings.Repeat("0", 64)))
		}},
		{"other lineage", true, func(_ *testing.T, _ *hookFS, _ string, cut *backup.Cut) {
			cut.Content.Record.Position.Lineage = lineageB
		}},
		{"of another copy, of a later open", true, func(_ *testing.T, _ *hookFS, _ string, cut *backup.Cut) {
			cut.Content.Record.Position.Incarnation--
		}},
		{"of another copy, at the same position, committed at another time", true, func(_ *testing.T, _ *hookFS, _ string, cut *backup.Cut) {
			cut.Content.Record.Committed++
		}},
		{"of another copy, at the same position, with other rows", true, func(_ *testing.T, _ *hookFS, _ string, cut *backup.Cut) {
			cut.Content.Record.Fingerprint++
		}},
		{"no identities", true, func(_ *testing.T, disk *hookFS, _ string, _ *backup.Cut) { disk.blind = true }},
		{"links fail", true, func(_ *testing.T, disk *hookFS, _ string, _ *backup.Cut) {
			disk.hook(func(op, _ string) error {
				if op == "link" {
					return errInjected
				}
				return nil
			}, nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := newDisk(t)
			d := openDir(t, disk, backupsPath)
			live := newLive(t, disk.mem, "/data", table, lineageA)
			for range 3 {
				live.put(10, 100)
			}
			base := disk.PathJoin(backupsPath, table, publish(t, d, live.cut()).GetBackupId())
			cut := live.cut()
			c.spoil(t, disk, base, &cut)
			result := publish(t, d, cut)
			disk.hook(nil, nil)
			path := disk.PathJoin(backupsPath, table, result.GetBackupId())
			must(t, checkBackup(disk.mem, path, live.at))
			disk.blind = false
			old, linked := identities(t, disk, disk.PathJoin(base, "db")), 0
			for name, inode := range identities(t, disk, disk.PathJoin(path, "db")) {
				if old[name] == inode {
					linked++
				}
			}
			if want := map[bool]int{true: 0, false: 2}[c.all]; linked != want {
				t.Errorf("%d sstables are linked, want %d", linked, want)
			}
		})
	}
}

// TestPublishLinksFromOlderUsableBackup: a spoilt newest backup must not cost a full copy.
func TestPublishLinksFromOlderUsableBackup(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	publish(t, d, live.cut())
	second := publish(t, d, live.cut())
	overwrite(t, disk.mem, disk.PathJoin(backupsPath, table, second.GetBackupId(), "manifest.json"), []byte("{"))
	third := publish(t, d, live.cut())
	if third.GetCopiedBytes() == third.GetBytes() {
		t.Error("nothing was linked")
	}
	must(t, checkBackup(disk.mem, disk.PathJoin(backupsPath, table, third.GetBackupId()), live.at))
}

// TestPublishWithoutIdentities: two files of which nothing is known are not the same file.
func TestPublishWithoutIdentities(t *testing.T) {
	disk := newDisk(t)
	disk.blind = true
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	publish(t, d, live.cut())
	if second := publish(t, d, live.cut()); second.GetCopiedBytes() != second.GetBytes() {
		t.Errorf("linked %d B", second.GetBytes()-second.GetCopiedBytes())
	}
}
