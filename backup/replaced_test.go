package backup_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// inPlace are ways in which a path comes to name something else, on the real file system.
var inPlace = map[string]func(t *testing.T, path string){
	"gone":               func(*testing.T, string) {},
	"a file":             func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("x"), 0o600)) },
	"an empty directory": func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) },
	"a link to nothing":  func(t *testing.T, path string) { must(t, os.Symlink(path+"-nothing", path)) },
	"a copy":             func(t *testing.T, path string) { copyTree(t, path+"-moved", path) },
}

// copyTree copies a directory as a person does.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-Rp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

// tree lists all paths below root.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var paths []string
	must(t, filepath.Walk(root, func(path string, _ os.FileInfo, err error) error {
		paths = append(paths, path)
		return err
	}))
	return paths
}

// reads are what finds nothing where there is no backup.
func reads(d *backup.Directory) map[string]func() error {
	return map[string]func() error{
		"list":   func() error { _, err := d.List(table); return err },
		"has":    func() error { _, err := d.Has(table); return err },
		"tables": func() error { _, err := d.Tables(); return err },
		"runs":   func() error { _, _, err := d.ReadSets(); return err },
		"newest": func() error { _, err := d.NewestRun(); return err },
	}
}

// TestReplaced: nothing is written to what has come in the place of BACKUPDIR, and nothing is said to be done; when
// the directory is back, all of it goes on.
func TestReplaced(t *testing.T) {
	for what, replace := range inPlace {
		t.Run(what, func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			path := filepath.Join(root, "backups")
			d := openDir(t, store.RealFS(), path)
			live := newLive(t, store.RealFS(), t.TempDir(), table, lineageA)
			live.put(10, 100)
			first := publish(t, d, live.cut())
			carried := live.content()
			live.put(1, 1)
			cut := live.cut()
			set := &messages.BackupSet{RunId: ulid.Make().String()}
			operations := map[string]func() error{
				"check":   d.Check,
				"carry":   func() error { _, err := d.CarryForward(table, carried); return err },
				"set":     func() error { return d.WriteSet(set) },
				"sets":    func() error { _, err := d.RetainSets(); return err },
				"pin":     func() error { return d.Pin(table, first.GetBackupId(), "why") },
				"unpin":   func() error { return d.Unpin(table, first.GetBackupId()) },
				"retain":  func() error { _, err := d.Retain(table, backup.Policy{Keep: 10}, noon); return err },
				"publish": func() error { _, err := d.Publish(t.Context(), live.cut(), nil); return err },
			}
			must(t, os.Rename(path, path+"-moved"))
			replace(t, path)
			before := tree(t, root)
			for name, operation := range operations {
				if err := operation(); !errors.Is(err, store.ErrReplaced) {
					t.Errorf("%s: %v", name, err)
				}
			}
			for name, read := range reads(d) {
				if err := read(); err == nil && what != "a copy" {
					t.Errorf("%s: found nothing, without an error", name)
				}
			}
			if after := tree(t, root); !slices.Equal(after, before) {
				t.Errorf("changed: %v, was %v", after, before)
			}
			must(t, os.RemoveAll(path))
			must(t, os.Rename(path+"-moved", path))
			if _, err := d.Publish(t.Context(), cut, nil); err != nil {
				t.Errorf("the directory is back: %v", err)
			}
			for name, operation := range operations {
				if err := operation(); err != nil {
					t.Errorf("the directory is back: %s: %v", name, err)
				}
			}
		})
	}
}

// TestEmptied: a BACKUPDIR that lost all that it held is not written to, and is not a directory without backups.
func TestEmptied(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	path := filepath.Join(root, "backups")
	d := openDir(t, store.RealFS(), path)
	live := newLive(t, store.RealFS(), t.TempDir(), table, lineageA)
	live.put(10, 100)
	publish(t, d, live.cut())
	entries, err := os.ReadDir(path)
	must(t, err)
	for _, entry := range entries {
		must(t, os.RemoveAll(filepath.Join(path, entry.Name())))
	}
	operations := reads(d)
	operations["set"] = func() error { return d.WriteSet(&messages.BackupSet{RunId: ulid.Make().String()}) }
	operations["publish"] = func() error { _, err := d.Publish(t.Context(), live.cut(), nil); return err }
	for name, operation := range operations {
		if err := operation(); !errors.Is(err, store.ErrReplaced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := tree(t, path); len(left) != 1 {
		t.Errorf("made: %v", left)
	}
}
