package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// inPlace are ways in which a path comes to name something else. A copy lies beside it by then, as path-copy.
var inPlace = map[string]func(path string) error{
	"gone":               func(string) error { return nil },
	"a file":             func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	"an empty directory": func(path string) error { return os.Mkdir(path, 0o700) },
	"a link to nothing":  func(path string) error { return os.Symlink(path+"-nothing", path) },
	"a copy":             func(path string) error { return os.Rename(path+"-copy", path) },
}

// replace moves path aside and puts something else in its place. It returns what lists the content of that.
func replace(t *testing.T, path string, with func(path string) error) (content func() []string) {
	t.Helper()
	if out, err := exec.Command("cp", "-Rp", path, path+"-copy").CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	if err := errors.Join(os.Rename(path, path+"-moved"), with(path)); err != nil {
		t.Fatal(err)
	}
	return func() (names []string) {
		_ = filepath.Walk(path, func(name string, info os.FileInfo, err error) error {
			if err == nil {
				names = append(names, name+" "+info.ModTime().String())
			}
			return nil
		})
		return names
	}
}

// realTemp is a path on the real file system where no directory is yet.
func realTemp(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "data")
}

// realDirectory opens a directory on the real file system.
func realDirectory(t *testing.T) (*Directory, string) {
	t.Helper()
	path := realTemp(t)
	d := openDirectory(t, RealFS(), func(o *DirectoryOptions) { o.Path = path })
	t.Cleanup(func() { _ = d.Close() })
	return d, path
}

// TestLineageReplaced: within a second or so of the last write, a table whose directory is another one by now is frozen. It
// acknowledges no more, and leaves alone what has come in the place of its directory.
func TestLineageReplaced(t *testing.T) {
	for what, with := range inPlace {
		above := []string{"lineage"}
		if what == "gone" || what == "a copy" {
			above = append(above, "table", "all tables")
		}
		for _, above := range above {
			t.Run(what+"/"+above, func(t *testing.T) {
				d, _ := realDirectory(t)
				frozen := make(chan error, 1)
				s := openTable(t, d, func(o *OpenOptions) { o.OnFreeze = func(err error) { frozen <- err } })
				t.Cleanup(func() { _ = s.Close() })
				mustPut(t, s, "k", "v")
				path := d.LineagePath("t", s.Lineage())
				switch above {
				case "table":
					path = filepath.Dir(path)
				case "all tables":
					path = filepath.Dir(filepath.Dir(path))
				}
				content := replace(t, path, with)
				before := content()
				_ = put(s, "k", "w") // a timer may have been faster
				if err := <-frozen; !errors.Is(err, ErrReplaced) {
					t.Errorf("frozen by %v", err)
				}
				if err := put(s, "k", "v"); !errors.Is(err, ErrFrozen) {
					t.Errorf("put: %v", err)
				}
				if err := s.Check(); !errors.Is(err, ErrReplaced) {
					t.Errorf("check: %v", err)
				}
				_ = s.Flush()
				if after := content(); !slices.Equal(before, after) {
					t.Errorf("changed: %q, was %q", after, before)
				}
			})
		}
	}
}

// TestLineageReplacedWhileIdle: a table that nobody writes is found by whoever asks, and by each file that Pebble opens.
func TestLineageReplacedWhileIdle(t *testing.T) {
	for what, with := range inPlace {
		for how, use := range map[string]func(d *Directory, s *Store) error{
			"check": func(_ *Directory, s *Store) error { return s.Check() },
			"cut": func(d *Directory, s *Store) error {
				_, err := s.Cut(d.Staging("01ARZ3NDEKTSV4RRFFQ69G5FAV", "t"))
				return err
			},
			"flush": func(_ *Directory, s *Store) error { _ = s.Flush(); return s.FrozenBy() },
		} {
			t.Run(what+"/"+how, func(t *testing.T) {
				d, _ := realDirectory(t)
				s := openTable(t, d)
				t.Cleanup(func() { _ = s.Close() })
				mustPut(t, s, "k", "v")
				content := replace(t, d.LineagePath("t", s.Lineage()), with)
				before := content()
				if err := use(d, s); !errors.Is(err, ErrReplaced) || !s.Frozen() {
					t.Errorf("%v, frozen: %v", err, s.Frozen())
				}
				if after := content(); !slices.Equal(before, after) {
					t.Errorf("changed: %q, was %q", after, before)
				}
			})
		}
	}
}

// TestDirectoryReplaced: nothing is written to what has come in the place of DIR, nor opened from there; when DIR is
// back, all of it goes on.
func TestDirectoryReplaced(t *testing.T) {
	for what, with := range inPlace {
		t.Run(what, func(t *testing.T) {
			d, path := realDirectory(t)
			s := openTable(t, d)
			mustPut(t, s, "k", "v")
			lineage := s.Lineage()
			log := d.EventLog()
			event := &messages.LoggedEvent{Seq: 1}
			if err := errors.Join(s.Close(), log.Append(event), log.Sync()); err != nil {
				t.Fatal(err)
			}
			content := replace(t, path, with)
			before := content()
			operations := []struct {
				name string
				do   func() error
			}{
				{"check", d.Check},
				{"schedule", func() error { return d.WriteSchedule(&messages.ScheduleState{}) }},
				{"history", func() error { return d.WriteHistory(&messages.History{}) }},
				{"loss", func() error { _, err := d.NoteLoss(&messages.Loss{Table: "t"}); return err }},
				{"losses", d.SettleLosses},
				{"sync of events", log.Sync},
				{"event", func() error { event.Seq++; return log.Append(event) }},
				{"restore", func() error {
					r, err := d.StartRestore("t")
					if err == nil {
						err = r.Abandon()
					}
					return err
				}},
				{"serve", func() error { return d.Serve("t", lineage, UndoRestored, time.Now()) }},
				{"sweep", func() error { _, err := d.SweepUndo("t", time.Now()); return err }},
				{"open", func() error {
					s, err := d.Open("t", OpenOptions{})
					if err == nil {
						err = s.Close()
					}
					return err
				}},
				{"create", func() error {
					s, err := d.Open("u", OpenOptions{Create: true})
					if err == nil {
						err = s.Close()
					}
					return err
				}},
				{"drop", func() error { return d.Drop("t", time.Now().Add(time.Hour)) }},
			}
			for _, o := range operations {
				if err := o.do(); !errors.Is(err, ErrReplaced) {
					t.Errorf("%s: %v", o.name, err)
				}
			}
			if after := content(); !slices.Equal(before, after) {
				t.Errorf("changed: %q, was %q", after, before)
			}
			if err := errors.Join(os.RemoveAll(path), os.Rename(path+"-moved", path)); err != nil {
				t.Fatal(err)
			}
			for _, o := range operations {
				if err := o.do(); err != nil {
					t.Errorf("the directory is back: %s: %v", o.name, err)
				}
			}
			_ = log.Close()
		})
	}
}
