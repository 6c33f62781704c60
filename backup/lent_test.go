package backup_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
)

// lend makes of a cut by links one whose sstables are lent by the live table.
func lend(t *testing.T, fs vfs.FS, live *liveTable, cut backup.Cut) backup.Cut {
	t.Helper()
	names, err := fs.List(cut.Staging)
	must(t, err)
	cut.Lent = map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			must(t, fs.Remove(fs.PathJoin(cut.Staging, name)))
			cut.Lent[name] = fs.PathJoin(live.dir(), name)
		}
	}
	if len(cut.Lent) == 0 {
		t.Fatal("the cut has no sstable")
	}
	return cut
}

func TestPublishOfLentFilesIsThatOfLinks(t *testing.T) {
	disks(t, func(t *testing.T, fs, bare vfs.FS, root string) {
		path := fs.PathJoin(root, "backups")
		d := openDir(t, fs, path)
		live := newLive(t, bare, root, table, lineageA)
		live.put(10, 100)
		live.put(10, 100)
		first := publish(t, d, lend(t, bare, live, live.cut()))
		linked := publish(t, d, live.cut())
		if linked.GetCopiedBytes() >= first.GetCopiedBytes() {
			t.Errorf("the second backup copied %d B of %d: it links nothing from one of lent files", linked.GetCopiedBytes(), first.GetCopiedBytes())
		}
		lent := publish(t, d, lend(t, bare, live, live.cut()))
		if lent.GetCopiedBytes() >= first.GetCopiedBytes() {
			t.Errorf("a backup of lent files copied %d B of %d: it links nothing", lent.GetCopiedBytes(), first.GetCopiedBytes())
		}
		a, _, err := readManifest(fs, fs.PathJoin(path, table, linked.GetBackupId()))
		must(t, err)
		b, _, err := readManifest(fs, fs.PathJoin(path, table, lent.GetBackupId()))
		must(t, err)
		if len(a.GetFiles()) != len(b.GetFiles()) {
			t.Fatalf("%d files by links, %d lent", len(a.GetFiles()), len(b.GetFiles()))
		}
		for i := range a.GetFiles() {
			if strings.HasSuffix(a.GetFiles()[i].GetName(), ".sst") && !proto.Equal(a.GetFiles()[i], b.GetFiles()[i]) {
				t.Errorf("%v by links, %v lent", a.GetFiles()[i], b.GetFiles()[i])
			}
		}
		for _, row := range []string{first.GetBackupId(), linked.GetBackupId(), lent.GetBackupId()} {
			must(t, checkBackup(bare, fs.PathJoin(path, table, row), live.at))
		}
		own := identities(t, fs, live.dir())
		for file, inode := range identities(t, fs, fs.PathJoin(path, table, lent.GetBackupId(), "db")) {
			if own[file] == inode {
				t.Errorf("%s of the backup is the live table's own", file)
			}
		}
		live.close()
		must(t, d.Close())
	})
}

// A file on loan that is gone, as after a drop of the table, fails the publish and leaves nothing.
func TestPublishWithoutALentFileFails(t *testing.T) {
	disks(t, func(t *testing.T, fs, bare vfs.FS, root string) {
		path := fs.PathJoin(root, "backups")
		d := openDir(t, fs, path)
		live := newLive(t, bare, root, table, lineageA)
		live.put(10, 100)
		cut := lend(t, bare, live, live.cut())
		for name := range cut.Lent {
			cut.Lent[name] += ".gone"
		}
		if _, err := d.Publish(t.Context(), cut, nil); err == nil {
			t.Error("published")
		}
		if ids, pending := complete(t, fs, fs.PathJoin(path, table)); len(ids)+len(pending) > 0 {
			t.Errorf("left %v, %v", ids, pending)
		}
		live.close()
		must(t, d.Close())
	})
}
