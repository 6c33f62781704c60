package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const otherStore = "01J9000000000000000000THER"

// snapshot lists everything below path, with contents.
func snapshot(t testing.TB, fs vfs.FS, path string) []string {
	t.Helper()
	var lines []string
	names, err := fs.List(path)
	must(t, err)
	slices.Sort(names)
	for _, name := range names {
		child := fs.PathJoin(path, name)
		info, err := fs.Stat(child)
		must(t, err)
		if info.IsDir() {
			lines = append(append(lines, child+"/"), snapshot(t, fs, child)...)
			continue
		}
		data, err := store.ReadFile(fs, child)
		must(t, err)
		lines = append(lines, child+" "+string(data))
	}
	return lines
}

func TestOpenRefuses(t *testing.T) {
	write := func(name, content string) func(t *testing.T, disk *hookFS) {
		return func(t *testing.T, disk *hookFS) {
			must(t, disk.mem.MkdirAll(backupsPath, 0o755))
			overwrite(t, disk.mem, disk.PathJoin(backupsPath, name), []byte(content))
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, disk *hookFS)
		options backup.Options
		want    error
		text    string
	}{
		{"foreign", write("holiday.jpg", "x"), backup.Options{}, store.ErrForeign, "gabion.json"},
		{"other store", write("gabion.json", `{"storeId":"`+otherStore+`","formatVersion":1}`),
			backup.Options{}, store.ErrForeign, otherStore},
		{"newer", write("gabion.json", `{"storeId":"`+testStore+`","formatVersion":99,"news":1}`),
			backup.Options{}, store.ErrNewer, "99"},
		{"no parent", func(*testing.T, *hookFS) {}, backup.Options{Path: "/mnt/disk/backups"}, os.ErrNotExist, "/mnt/disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := newDisk(t)
			c.prepare(t, disk)
			before := snapshot(t, disk.mem, "/")
			o := c.options
			o.FS, o.StoreID = disk, testStore
			if o.Path == "" {
				o.Path = backupsPath
			}
			d, err := backup.Open(o)
			wantIs(t, err, c.want)
			if d != nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("directory %v, error %v does not name %s", d, err, c.text)
			}
			if (errors.Is(err, store.ErrForeign) || c.name == "no parent") && len(messages.Hints(err)) == 0 {
				t.Errorf("error %v has no hint", err)
			}
			if after := snapshot(t, disk.mem, "/"); !slices.Equal(before, after) {
				t.Errorf("a refused open left %v, before it was %v", after, before)
			}
		})
	}
	_, err := backup.Open(backup.Options{})
	wantIs(t, err, messages.ErrInvalid)
}

func TestOpenTakesAnEmptyDiskAndHoldsIt(t *testing.T) {
	fs := store.RealFS()
	root, err := store.RealPath(fs, t.TempDir())
	must(t, err)
	path := filepath.Join(root, "backups")
	must(t, os.MkdirAll(filepath.Join(path, "lost+found"), 0o755))
	if id, err := backup.StoreIDAt(fs, path); id != "" || err != nil {
		t.Errorf("store id is %q, %v before the first open", id, err)
	}
	d := openDir(t, fs, path)
	_, err = backup.Open(backup.Options{FS: fs, Path: path, StoreID: testStore})
	wantIs(t, err, store.ErrHeld)
	if id, err := backup.StoreIDAt(fs, path); id != testStore || err != nil {
		t.Errorf("store id is %q, %v", id, err)
	}
	if d.Path() != path {
		t.Errorf("path is %s", d.Path())
	}
	must(t, d.Close())
	must(t, d.Close())
	openDir(t, fs, path)
}

// Without its backup directory, an unmounted disk say, a directory can still be read.
func TestOpenReadOnlyWithoutADirectory(t *testing.T) {
	for name, prepare := range map[string]func(*hookFS){
		"missing": func(*hookFS) {},
		"empty":   func(disk *hookFS) { must(t, disk.mem.MkdirAll(backupsPath, 0o755)) },
	} {
		disk := newDisk(t)
		prepare(disk)
		d, err := backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore, ReadOnly: true})
		must(t, err)
		tables, err := d.Tables()
		must(t, err)
		list, err := d.List(table)
		must(t, err)
		sets, err := d.Sets()
		must(t, err)
		if !d.Missing() || len(tables)+len(list)+len(sets) > 0 {
			t.Errorf("%s: missing %v, tables %v, backups %v, sets %v", name, d.Missing(), tables, list, sets)
		}
		must(t, d.Close())
		if names, _ := disk.mem.List(backupsPath); len(names) > 0 {
			t.Errorf("%s: a read-only open left %v", name, names)
		}
	}
}

func TestOpenSweepsUnlessReadOnly(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(10, 100)
	id := publish(t, d, live.cut()).GetBackupId()
	must(t, d.Close())
	for _, name := range []string{".pending-000002_2026-02-11T12-00-00Z/db", ".pending-remove-000003_2026-02-11T12-00-00Z", "proofs"} {
		must(t, disk.mem.MkdirAll(disk.PathJoin(backupsPath, table, strings.Split(name, "/")[0]), 0o755))
	}
	overwrite(t, disk.mem, disk.PathJoin(backupsPath, table, ".pending-000004_2026-02-11T12-00-00Z"), nil)
	must(t, disk.mem.MkdirAll(disk.PathJoin(backupsPath, "sets"), 0o755))
	overwrite(t, disk.mem, disk.PathJoin(backupsPath, "sets", "01ARZ3NDEKTSV4RRFFQ69G5FAV.json.aside"), nil)
	overwrite(t, disk.mem, disk.PathJoin(backupsPath, "notes"), []byte("a file with a table's name"))

	readOnly, err := backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore, ReadOnly: true})
	must(t, err)
	if _, pending := complete(t, disk, disk.PathJoin(backupsPath, table)); len(pending) != 3 {
		t.Errorf("a read-only open left %v", pending)
	}
	_, err = readOnly.Publish(t.Context(), live.cut(), nil)
	wantIs(t, err, backup.ErrReadOnly)
	_, err = readOnly.Retain(table, backup.Policy{Keep: 1}, noon)
	wantIs(t, err, backup.ErrReadOnly)
	wantIs(t, readOnly.WriteSet(&messages.BackupSet{RunId: live.cut().RunID}), backup.ErrReadOnly)
	must(t, readOnly.Close())

	d = openDir(t, disk, backupsPath)
	ids, pending := complete(t, disk, disk.PathJoin(backupsPath, table))
	if !slices.Equal(ids, []string{id, "proofs"}) || len(pending) > 0 {
		t.Errorf("left %v, %v", ids, pending)
	}
	if exists(t, disk, disk.PathJoin(backupsPath, "sets", "01ARZ3NDEKTSV4RRFFQ69G5FAV.json.aside")) {
		t.Error("an unfinished set is still there")
	}
	tables, err := d.Tables()
	must(t, err)
	if !slices.Equal(tables, []string{table}) {
		t.Errorf("tables are %v", tables)
	}
}

// TestOpenReleasesOnError: an Open that fails after it got the lock gives it free.
func TestOpenReleasesOnError(t *testing.T) {
	for at, tried := 0, 0; ; at++ {
		disk := newDisk(t)
		ops, hit := 0, ""
		disk.hook(func(op, path string) error {
			defer func() { ops++ }()
			if ops == at {
				hit = op + " " + path
				return errInjected
			}
			return nil
		}, nil)
		d, err := backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore})
		disk.hook(nil, nil)
		if err == nil {
			must(t, d.Close())
		} else {
			tried++
		}
		openDir(t, disk, backupsPath)
		if hit == "" {
			if tried < 10 {
				t.Errorf("only %d faults made open fail", tried)
			}
			return
		}
	}
}
