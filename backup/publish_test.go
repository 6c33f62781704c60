package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const table = "task_queue"

// identities returns the inode of each sstable in dir.
func identities(t *testing.T, fs vfs.FS, dir string) map[string]uint64 {
	t.Helper()
	names, err := fs.List(dir)
	must(t, err)
	inodes := map[string]uint64{}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			id, err := store.Identify(fs, fs.PathJoin(dir, name))
			must(t, err)
			inodes[name] = id.GetInode()
		}
	}
	return inodes
}

// disks runs a test on the memory and on the real file system.
func disks(t *testing.T, test func(t *testing.T, fs, bare vfs.FS, root string)) {
	t.Run("memory", func(t *testing.T) {
		disk := newDisk(t)
		test(t, disk, disk.mem, "/data")
	})
	t.Run("real", func(t *testing.T) {
		fs := store.RealFS()
		root, err := store.RealPath(fs, t.TempDir())
		must(t, err)
		test(t, fs, fs, root)
	})
}

func TestPublishCopiesFirstAndLinksUnchanged(t *testing.T) {
	disks(t, func(t *testing.T, fs, bare vfs.FS, root string) {
		path := fs.PathJoin(root, "backups")
		d := openDir(t, fs, path)
		live := newLive(t, bare, root, table, lineageA)
		live.put(10, 100)
		live.put(10, 100)
		live.log()
		first := publish(t, d, live.cut())
		if first.GetBytes() == 0 || first.GetCopiedBytes() != first.GetBytes() {
			t.Errorf("first backup copied %d of %d B, want all", first.GetCopiedBytes(), first.GetBytes())
		}
		if first.GetBackupId() != "000001_2026-02-11T12-00-00Z" || first.GetCount() != 21 ||
			first.GetOutcome() != messages.Outcome_OUTCOME_BACKED_UP || !proto.Equal(first.GetPosition(), live.position()) {
			t.Errorf("unexpected row %v", first)
		}
		live.put(10, 100)
		cut := live.cut()
		overwrite(t, bare, fs.PathJoin(cut.Staging, "LOCK"), nil)
		second := publish(t, d, cut)
		if exists(t, fs, fs.PathJoin(path, table, second.GetBackupId(), "db", "LOCK")) {
			t.Error("Pebble's lock file was published")
		}

		one := identities(t, fs, fs.PathJoin(path, table, first.GetBackupId(), "db"))
		two := identities(t, fs, fs.PathJoin(path, table, second.GetBackupId(), "db"))
		current := identities(t, fs, live.dir())
		linked := int64(0)
		for name, inode := range one {
			if two[name] != inode {
				t.Errorf("%s is not linked from the backup before", name)
			}
			info, err := fs.Stat(fs.PathJoin(path, table, first.GetBackupId(), "db", name))
			must(t, err)
			linked += info.Size()
		}
		if len(one) < 2 || len(two) <= len(one) {
			t.Fatalf("%d and %d sstables prove nothing", len(one), len(two))
		}
		for name, inode := range two {
			if inode == 0 || current[name] == inode {
				t.Errorf("%s shares the live table's inode %d", name, inode)
			}
		}
		if second.GetCopiedBytes() != second.GetBytes()-linked {
			t.Errorf("second backup copied %d of %d B, want all but %d", second.GetCopiedBytes(), second.GetBytes(), linked)
		}
		if exists(t, fs, cut.Staging) {
			t.Error("the staging is still there")
		}
		backups, err := d.List(table)
		must(t, err)
		for i, want := range []*messages.TableResult{second, first} {
			b := backups[i]
			if b.ID != want.GetBackupId() || b.Fault != nil || b.ManifestSHA256 != want.GetManifestSha256() {
				t.Errorf("listed %+v, want %v", b, want)
			}
			must(t, checkBackup(fs, b.Path, live.at))
		}
		m := backups[0].Manifest
		if m.GetRunId() != cut.RunID || m.GetLabel() != "nightly" || m.GetStoreId() != testStore || m.GetNumber() != 2 ||
			m.GetPebbleVersion() == "" || m.GetPebbleFormat() != uint64(pebble.FormatValueSeparation) ||
			m.GetComparer() != pebble.DefaultComparer.Name {
			t.Errorf("unexpected manifest %v", m)
		}
	})
}

func TestPublishReportsProgressAndObeysItsContext(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(50, 100<<10) // 5 MB
	cut := live.cut()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	calls := 0
	_, err := d.Publish(ctx, cut, func(bytes int64) {
		if calls++; calls == 2 {
			cancel()
		}
		if calls > 2 {
			t.Error("progress was reported after the cancellation")
		}
	})
	wantIs(t, err, context.Canceled)
	ids, pending := complete(t, disk, disk.PathJoin(backupsPath, table))
	if len(ids)+len(pending) > 0 || exists(t, disk, cut.Staging) {
		t.Errorf("left %v, %v and staging", ids, pending)
	}

	var sum int64
	result, err := d.Publish(context.Background(), live.cut(), func(bytes int64) {
		if bytes > 1<<20 {
			t.Errorf("%d B went by without progress", bytes)
		}
		sum += bytes
	})
	must(t, err)
	if sum != result.GetCopiedBytes() || sum < 4<<20 {
		t.Errorf("progress reported %d B of %d", sum, result.GetCopiedBytes())
	}

	// Links report too, and are given up as well.
	live.put(1, 1)
	publish(t, d, live.cut())
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	links := 0
	disk.hook(nil, func(op, _ string) {
		if op == "link" {
			links++
		}
	})
	_, err = d.Publish(ctx, live.cut(), func(int64) { cancel() })
	wantIs(t, err, context.Canceled)
	if links != 1 {
		t.Errorf("%d files were linked, want 1 before the cancellation", links)
	}
}

func TestPublishRefusesBadCuts(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, disk *hookFS, cut *backup.Cut)
	}{
		{"table name", func(_ *testing.T, _ *hookFS, cut *backup.Cut) { cut.Table = "../x" }},
		{"other record", func(_ *testing.T, _ *hookFS, cut *backup.Cut) { cut.Content.Record.Table = "other" }},
		{"no record", func(_ *testing.T, _ *hookFS, cut *backup.Cut) { cut.Content.Record = nil }},
		{"no lineage", func(_ *testing.T, _ *hookFS, cut *backup.Cut) { cut.Content.Record.Position = nil }},
		{"no run", func(_ *testing.T, _ *hookFS, cut *backup.Cut) { cut.RunID = "" }},
		{"marker missing", func(t *testing.T, disk *hookFS, cut *backup.Cut) {
			removeMatching(t, disk, cut.Staging, "marker.manifest")
		}},
		{"log missing", func(t *testing.T, disk *hookFS, cut *backup.Cut) { removeMatching(t, disk, cut.Staging, ".log") }},
		{"nothing captured", func(t *testing.T, disk *hookFS, cut *backup.Cut) { removeMatching(t, disk, cut.Staging, "") }},
		{"directory inside", func(t *testing.T, disk *hookFS, cut *backup.Cut) {
			must(t, disk.mem.MkdirAll(disk.PathJoin(cut.Staging, "000099.sst"), 0o755))
		}},
		{"file grows", func(_ *testing.T, disk *hookFS, cut *backup.Cut) { touchDuringCopy(disk, cut.Staging, "more") }},
		{"file shrinks", func(_ *testing.T, disk *hookFS, cut *backup.Cut) { touchDuringCopy(disk, cut.Staging, "") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := newDisk(t)
			d := openDir(t, disk, backupsPath)
			live := newLive(t, disk.mem, "/data", table, lineageA)
			live.put(10, 100)
			cut := live.cut()
			c.spoil(t, disk, &cut)
			result, err := d.Publish(context.Background(), cut, nil)
			if err == nil || result != nil {
				t.Fatalf("published %v", result)
			}
			disk.hook(nil, nil)
			ids, pending := complete(t, disk, disk.PathJoin(backupsPath, table))
			if len(ids)+len(pending) > 0 || exists(t, disk, cut.Staging) {
				t.Errorf("left %v, %v or the staging", ids, pending)
			}
			publish(t, d, live.cut())
		})
	}
}

func removeMatching(t *testing.T, disk *hookFS, dir, part string) {
	names, err := disk.mem.List(dir)
	must(t, err)
	for _, name := range names {
		if strings.Contains(name, part) {
			must(t, disk.mem.Remove(disk.PathJoin(dir, name)))
		}
	}
}

// touchDuringCopy gives the first staged file that is read another content right after the read.
func touchDuringCopy(disk *hookFS, staging, content string) {
	var once sync.Once
	disk.hook(nil, func(op, path string) {
		if op == "read" && strings.HasPrefix(path, staging) {
			once.Do(func() {
				f, err := disk.mem.Create(path, vfs.WriteCategoryUnspecified)
				if err == nil {
					_, err = f.Write([]byte(content))
					err = errors.Join(err, f.Close())
				}
				if err != nil {
					panic(err)
				}
			})
		}
	})
}

// TestPublishExcludes: beside a Publish of the same table there is no other one, no Retain and no Close
// that gives the lock away.
func TestPublishExcludes(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	late := live.cut()
	var once sync.Once
	_, err := d.Publish(context.Background(), live.cut(), func(int64) {
		once.Do(func() {
			_, err := d.Publish(context.Background(), late, nil)
			wantIs(t, err, backup.ErrBusy)
			_, err = d.Retain(table, backup.Policy{Keep: 1}, noon)
			wantIs(t, err, backup.ErrBusy)
			wantIs(t, d.Close(), backup.ErrBusy)
			_, err = backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore})
			wantIs(t, err, store.ErrHeld)
		})
	})
	must(t, err)
	if exists(t, disk, late.Staging) {
		t.Error("the refused cut is still there")
	}
	must(t, d.Close())
	_, err = d.Publish(context.Background(), live.cut(), nil)
	wantIs(t, err, backup.ErrClosed)
	ids, _ := complete(t, disk, disk.PathJoin(backupsPath, table))
	if d = openDir(t, disk, backupsPath); len(ids) != 1 {
		t.Errorf("backups are %v, want one", ids)
	}
	publish(t, d, live.cut())
}

func TestPublishDifferentTablesAtOnce(t *testing.T) {
	fs := store.RealFS()
	root, err := store.RealPath(fs, t.TempDir())
	must(t, err)
	d := openDir(t, fs, filepath.Join(root, "backups"))
	var group sync.WaitGroup
	for i := range 8 {
		live := newLive(t, fs, root, fmt.Sprintf("table_%d", i), lineageA)
		live.put(20, 1000)
		cut := live.cut()
		group.Go(func() {
			result, err := d.Publish(context.Background(), cut, nil)
			if err == nil {
				err = checkBackup(fs, filepath.Join(root, "backups", live.name, result.GetBackupId()), live.at)
			}
			if err == nil {
				_, err = d.Retain(live.name, backup.Policy{Keep: 1}, noon)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	tables, err := d.Tables()
	must(t, err)
	if len(tables) != 8 || !slices.IsSorted(tables) {
		t.Errorf("tables are %v", tables)
	}
}

// TestPublishNumbers: the number rises whatever the clock says, and over unfinished names too.
func TestPublishNumbers(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(1, 1)
	cut := live.cut()
	cut.Started = noon.AddDate(1, 0, 0)
	publish(t, d, cut)
	dir := disk.PathJoin(backupsPath, table)
	must(t, disk.mem.MkdirAll(disk.PathJoin(dir, ".pending-000041_2026-02-11T12-00-00Z"), 0o755))
	must(t, disk.mem.MkdirAll(disk.PathJoin(dir, "proofs"), 0o755))
	publish(t, d, live.cut())
	must(t, disk.mem.MkdirAll(disk.PathJoin(dir, ".pending-remove-999998_2026-02-11T12-00-00Z"), 0o755))
	publish(t, d, live.cut())
	publish(t, d, live.cut())
	ids, _ := complete(t, disk, dir)
	want := []string{"000001_2027-02-11T12-00-00Z", "000042_2026-02-11T12-00-00Z", "1000000_2026-02-11T12-00-00Z", "999999_2026-02-11T12-00-00Z", "proofs"}
	if !slices.Equal(ids, want) {
		t.Errorf("names are %v, want %v", ids, want)
	}
	backups, err := d.List(table)
	must(t, err)
	if len(backups) != 4 || backups[0].Number != 1000000 || backups[1].Number != 999999 || backups[3].Number != 1 {
		t.Errorf("list is %+v", backups)
	}
}

// TestPublishTrace holds the file operations of a Publish that links, in order: a lost fsync is a diff.
func TestPublishTrace(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	publish(t, d, live.cut())
	live.put(10, 100)
	cut := live.cut()
	var trace strings.Builder
	disk.hook(nil, func(op, path string) {
		if mutates(op) && op != "unlink" {
			path = strings.ReplaceAll(path, cut.Staging, "STAGING")
			fmt.Fprintln(&trace, op, strings.ReplaceAll(path, backupsPath+"/", ""))
		}
	})
	publish(t, d, cut)
	disk.hook(nil, nil)
	golden := filepath.Join("testdata", "publish_trace.txt")
	if *rewrite {
		must(t, os.WriteFile(golden, []byte(trace.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if trace.String() != string(want) {
		t.Errorf("operations differ from %s (go test -rewrite writes it anew):\n%s", golden, trace.String())
	}
}
