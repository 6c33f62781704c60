package backup_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const behindLink = "this is somebody else's"

// moveBehindLink moves path elsewhere and puts a link in its place. A path that is missing gets a directory there. A file is
// put beside what was moved; check fails the test unless all that was there is.
func moveBehindLink(t *testing.T, path string, extra ...string) (check func()) {
	t.Helper()
	elsewhere := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.Rename(path, elsewhere); errors.Is(err, os.ErrNotExist) {
		must(t, os.MkdirAll(elsewhere, 0o700))
	} else {
		must(t, err)
	}
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.Symlink(elsewhere, path))
	for _, name := range extra {
		must(t, os.WriteFile(filepath.Join(elsewhere, name), []byte(behindLink), 0o600))
	}
	before := filesBelow(t, elsewhere)
	return func() {
		t.Helper()
		after := filesBelow(t, elsewhere)
		for name, data := range before {
			if got, ok := after[name]; !ok || got != data {
				t.Errorf("%s behind the link was changed or removed", name)
			}
			delete(after, name)
		}
		for name := range after {
			t.Errorf("%s was made behind the link", name)
		}
	}
}

func filesBelow(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	}))
	return files
}

// TestNothingBehindALinkIsTouched does everything that changes BACKUPDIR, with each of its names behind a link.
func TestNothingBehindALinkIsTouched(t *testing.T) {
	ctx := context.Background()
	gone := "000099_2026-02-11T12-00-00Z" // of a backup that is not there
	for _, place := range []string{"NAME/proofs", "NAME/pins", "sets", "NAME", "NAME/ID", "NAME/ID/db", "NAME/ID/manifest.json",
		"NAME/.pending-" + gone, "NAME/.pending-remove-" + gone, "NAME/ID/db/SST"} {
		t.Run(strings.ReplaceAll(place, "/", "_"), func(t *testing.T) {
			g := newGallery(t)
			ssts, err := filepath.Glob(g.file(0, "db/*.sst"))
			if err != nil || len(ssts) == 0 {
				t.Fatal("the backup has no sstable")
			}
			sst := filepath.Base(ssts[0])
			path := filepath.Join(g.path, filepath.FromSlash(strings.NewReplacer("NAME", table, "ID", g.ids[0], "SST", sst).Replace(place)))
			must(t, g.d.Close())
			var extra []string
			if !strings.HasSuffix(place, "json") && !strings.HasSuffix(place, "SST") {
				extra = []string{gone + ".jsonl", gone + ".json", "01ARZ3NDEKTSV4RRFFQ69G5FAV.json.aside", "000001.sst"}
			}
			check := moveBehindLink(t, path, extra...)
			w := &logged{}
			d, err := backup.Open(backup.Options{FS: store.RealFS(), Path: g.path, StoreID: testStore, Logger: slog.New(w)})
			must(t, err)
			var errs []error
			add := func(err error) { errs = append(errs, err) }
			verified, err := d.Verify(ctx, table, g.ids[0], backup.VerifyOptions{})
			errs = append(errs, err, verified.Unkept)
			if file := verified.Proof.GetFile(); file != "" {
				add(errors.New(verified.Proof.GetReason()))
			}
			add(d.Pin(table, g.ids[0], "why"))
			add(d.Unpin(table, g.ids[0]))
			add(d.WriteSet(&messages.BackupSet{RunId: "01ARZ3NDEKTSV4RRFFQ69G5FAV"}))
			_, err = d.Publish(ctx, g.live.cut(), nil)
			add(err)
			_, err = d.Retain(table, backup.Policy{Keep: 1}, noon)
			add(err)
			check()
			all := errors.Join(errs...) // a sweep that fails is a warning
			if !strings.Contains(fmt.Sprint(all)+w.text(), "symbolic link") {
				t.Errorf("nobody is told of the link: %v\n%s", all, w.text())
			}
			must(t, d.Close())
		})
	}
}

// logged keeps what was logged.
type logged struct{ strings.Builder }

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool { l.WriteString(" " + a.String()); return true })
	l.WriteString("\n")
	return nil
}
func (l *logged) text() string { return l.String() }

// TestOnlyWhatGabionMakesIsRemoved puts foreign files at each place that a sweep or retention clears.
func TestOnlyWhatGabionMakesIsRemoved(t *testing.T) {
	g := newGallery(t)
	must(t, g.d.Close())
	pending := ".pending-000099_2026-02-11T12-00-00Z"
	foreign := []string{
		filepath.Join(g.path, table, "proofs", "notes.txt"),
		filepath.Join(g.path, table, "proofs", "mine.jsonl"),
		filepath.Join(g.path, table, pending, "notes.txt"),
		filepath.Join(g.path, table, ".pending-mine", "notes.txt"),
		filepath.Join(g.path, "sets", "mine.json.aside"),
		filepath.Join(g.path, table, g.ids[0], "db", "notes.txt"),
	}
	ours := []string{
		filepath.Join(g.path, table, "proofs", "000099_2026-02-11T12-00-00Z.jsonl"),
		filepath.Join(g.path, table, "proofs", "000099_2026-02-11T12-00-00Z.jsonl.aside"),
		filepath.Join(g.path, table, pending, "db", "000001.sst"),
		filepath.Join(g.path, "sets", "01ARZ3NDEKTSV4RRFFQ69G5FAV.json.aside"),
	}
	for _, name := range append(append([]string{}, foreign...), ours...) {
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, nil, 0o600))
	}
	w := &logged{}
	d, err := backup.Open(backup.Options{FS: store.RealFS(), Path: g.path, StoreID: testStore, Logger: slog.New(w)})
	must(t, err)
	for range 2 {
		_, err = d.Retain(table, backup.Policy{Keep: 1}, noon)
		must(t, err)
	}
	// The backup that was thinned out has a name that hides it, and what was foreign in it.
	foreign[len(foreign)-1] = filepath.Join(g.path, table, ".pending-remove-"+g.ids[0], "db", "notes.txt")
	for _, name := range foreign {
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("a foreign file was removed: %v", err)
		}
		if n := strings.Count(w.text(), "path="+name+"\n"); n > 1 {
			t.Errorf("%d warnings of %s", n, name)
		}
	}
	for _, name := range ours {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s was not removed", name)
		}
	}
	if _, err := os.Lstat(g.file(0, "")); err == nil {
		t.Error("the oldest backup was not removed")
	}
	if ids, err := d.List(table); len(ids) != 1 || err != nil {
		t.Errorf("%d backups are left: %v", len(ids), err)
	}
	must(t, d.Close())
}
