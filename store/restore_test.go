package store

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// rewind is a table with new rows, and a cut of older ones.
type rewind struct {
	fs       vfs.FS
	path     string // DIR
	cut      string // the directory of the cut, which stands for a backup
	label    *messages.TableRecord
	old, was map[string]string // the rows that serve, and those of the cut
	lineage  string            // that serves
}

// newRewind makes one on fs, below parent.
func newRewind(t testing.TB, fs vfs.FS, parent string) *rewind {
	t.Helper()
	w := &rewind{fs: fs, path: fs.PathJoin(parent, "gabion"), cut: fs.PathJoin(parent, "cut")}
	d := w.open(t, fs, w.path)
	s := openTable(t, d)
	for i := range 20 {
		mustPut(t, s, fmt.Sprint("key", i), strings.Repeat("was", 20))
		if i == 10 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.was = rows(t, s)
	var err error
	if w.label, err = s.Cut(w.cut); err != nil {
		t.Fatal(err)
	}
	if err := SyncDir(fs, parent); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		mustPut(t, s, fmt.Sprint("key", i), "old")
	}
	w.old, w.lineage = rows(t, s), s.Lineage()
	closeAll(t, s, d)
	return w
}

func (w *rewind) open(t testing.TB, fs vfs.FS, path string) *Directory {
	t.Helper()
	return openDirectory(t, fs, func(o *DirectoryOptions) { o.Path = path })
}

// fill copies the cut into a directory, each file fsynced, as backup.Restore does.
func (w *rewind) fill(fs vfs.FS, to string) error {
	names, err := fs.List(w.cut)
	if err != nil {
		return err
	}
	for _, name := range names {
		src, err := fs.Open(fs.PathJoin(w.cut, name))
		if err != nil {
			return err
		}
		data, err := io.ReadAll(src)
		if err := errors.Join(err, src.Close()); err != nil {
			return err
		}
		if err := WriteSynced(fs, fs.PathJoin(to, name), data); err != nil {
			return err
		}
	}
	return nil
}

// restore puts the cut in the place of the table.
func (w *rewind) restore(d *Directory, until time.Time) (lineage string, err error) {
	r, err := d.StartRestore("t")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Abandon()) }()
	if err := w.fill(d.fs, r.Path()); err != nil {
		return "", err
	}
	if _, err := r.Finish(w.label); err != nil {
		return "", err
	}
	return r.Lineage(), r.Serve(UndoRestored, until)
}

// undoneAt is when the undo of these tests ends.
var undoneAt = time.Now().Add(time.Hour)

// check looks at what a crash, or an error, has left at path: the table before, or the restored one; nothing of what was
// unfinished, once it is swept; and undo exactly where the table was restored, which brings the old one back. In bringsBack it
// is the other way round: the restored table served, and the old one was brought back by its undo.
func (w *rewind) check(t testing.TB, fs vfs.FS, path string, bringsBack bool) (flipped bool) {
	t.Helper()
	d := w.open(t, fs, path)
	defer closeAll(t, d)
	before, err := d.Current("t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.SweepUndo("t", time.Now()); err != nil {
		t.Fatal(err)
	}
	s, err := d.Open("t", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, current := rows(t, s), s.Lineage()
	restored := current != w.lineage
	flipped = restored != bringsBack
	want := w.old
	if restored {
		want = w.was
	}
	record := s.Record()
	checkRecord(t, record, want)
	if !maps.Equal(got, want) || current != before {
		t.Errorf("serves %d rows of lineage %s, current was %s", len(got), current, before)
	}
	if p := record.GetParent(); restored && (!proto.Equal(p, w.label.GetPosition()) || record.GetPosition().GetSeq() < p.GetSeq()) {
		t.Errorf("restored record %v, want it to branch off at %v", record, w.label.GetPosition())
	}
	if !s.mark.last.clean && s.dirty {
		t.Error("the table was not closed cleanly")
	}
	mustPut(t, s, "later", "x")
	closeAll(t, s)

	kept, err := d.Undo("t")
	undone := restored || bringsBack // whichever of the two does not serve
	if err != nil || len(kept) != map[bool]int{true: 1}[undone] {
		t.Fatalf("undo is %v, %v", kept, err)
	}
	allowed := map[string]bool{currentFile: true, currentFile + asideSuffix: true}
	for _, r := range kept {
		allowed[r.GetLineage()], allowed[r.GetLineage()+markSuffix], allowed[r.GetLineage()+undoSuffix] = true, true, true
		allowed[r.GetLineage()+undoSuffix+asideSuffix] = true
		if r.GetReason() != UndoRestored || !r.GetUntil().AsTime().Equal(undoneAt) || r.GetLineage() == current {
			t.Errorf("undo %v", r)
		}
	}
	allowed[current], allowed[current+markSuffix], allowed[current+undoSuffix+asideSuffix] = true, true, true
	names, err := fs.List(d.tablePath("t"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !allowed[name] {
			t.Errorf("%s is left", name)
		}
	}
	if len(kept) == 0 {
		return flipped
	}
	if err := d.Serve("t", kept[0].GetLineage(), UndoRestored, time.Now()); err != nil {
		t.Fatal(err)
	}
	s = openTable(t, d)
	other := map[bool]map[string]string{true: w.old, false: w.was}[restored]
	if got := rows(t, s); s.Lineage() != kept[0].GetLineage() || !maps.Equal(got, other) {
		t.Errorf("undo brought back %d rows of lineage %s", len(got), s.Lineage())
	}
	closeAll(t, s)
	if n, err := d.SweepUndo("t", time.Now()); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	return flipped
}

// TestRestorePutsACutInPlace, and takes it back.
func TestRestorePutsACutInPlace(t *testing.T) {
	onBoth(t, func(t *testing.T, fs vfs.FS, parent string) {
		w := newRewind(t, fs, parent)
		if w.check(t, fs, w.path, false) {
			t.Error("restored before it was")
		}
		w.old["later"] = "x"
		d := w.open(t, fs, w.path)
		lineage, err := w.restore(d, undoneAt)
		if err != nil || lineage == w.lineage {
			t.Fatalf("lineage %s, %v", lineage, err)
		}
		closeAll(t, d)
		if !w.check(t, fs, w.path, false) {
			t.Error("not restored")
		}
	})
}

// act is what is swept: a restore, or the undo of one.
func act(t testing.TB, w *rewind, d *Directory, back bool) error {
	if back {
		return d.Serve("t", w.lineage, UndoRestored, undoneAt)
	}
	_, err := w.restore(d, undoneAt)
	return err
}

// prepared returns a table on fs to sweep, and its directory, open.
func prepared(t testing.TB, fs vfs.FS, parent string, back bool) (*rewind, *Directory) {
	w := newRewind(t, fs, parent)
	d := w.open(t, fs, w.path)
	if back {
		if _, err := w.restore(d, undoneAt); err != nil {
			t.Fatal(err)
		}
	}
	return w, d
}

// TestRestoreSurvivesACrashAnywhere takes the power away after every change that a restore, or its undo, makes to the disk.
func TestRestoreSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, back := range []bool{false, true} {
		for _, percent := range []int{0, 100, 1 + rng.IntN(99)} {
			t.Run(fmt.Sprintf("back=%v,percent=%d", back, percent), func(t *testing.T) {
				mem := vfs.NewCrashableMem()
				fs := &hookFS{FS: mem}
				if err := mem.MkdirAll("/disk", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := SyncDir(mem, "/"); err != nil {
					t.Fatal(err)
				}
				w, d := prepared(t, fs, "/disk", back)
				var images []*vfs.MemFS
				var after []string
				snap := func(o fileOp) {
					if o.changes() && !strings.HasPrefix(o.base(), "LOCK") {
						fs.guard.Lock()
						images = append(images, crashRemoving(t, mem, percent, rng))
						after = append(after, o.kind+" "+o.path)
						fs.guard.Unlock()
					}
				}
				fs.hooks(nil, snap)
				if err := act(t, w, d, back); err != nil {
					t.Fatal(err)
				}
				fs.hooks(nil, nil)
				images, after = append(images, crashRemoving(t, mem, percent, rng)), append(after, "the end")
				closeAll(t, d)
				flips := 0
				for i, image := range images {
					flipped := w.check(t, image, w.path, back)
					if flipped {
						flips++
					}
					if i == len(images)-1 && !flipped {
						t.Error("a crash after the end undoes it")
					}
					if t.Failed() {
						t.Fatalf("crash %d, after %s", i, after[i])
					}
				}
				if least := map[bool]int{false: 60, true: 8}[back]; len(images) < least || flips == len(images) {
					t.Errorf("%d crashes, %d after the flip", len(images), flips)
				}
			})
		}
	}
}

// TestRestoreSurvivesAKillAnywhere is the same on the real file system: what a kill leaves is the disk as it is.
func TestRestoreSurvivesAKillAnywhere(t *testing.T) {
	for _, back := range []bool{false, true} {
		bare := RealFS()
		root, err := RealPath(bare, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		fs := &hookFS{FS: bare}
		w, d := prepared(t, fs, root, back)
		var images, after []string
		fs.hooks(nil, func(o fileOp) {
			// A write, killed, is one of the crashes above.
			if !o.changes() || o.kind == "sync" || o.kind == "preallocate" || o.kind == "write" {
				return
			}
			fs.guard.Lock() // Pebble works on several goroutines
			defer fs.guard.Unlock()
			image := filepath.Join(root, fmt.Sprint("killed", len(images)))
			if err := os.CopyFS(image, os.DirFS(w.path)); err != nil {
				t.Error(err)
			}
			images, after = append(images, image), append(after, o.kind+" "+o.path)
		})
		if err := act(t, w, d, back); err != nil {
			t.Fatal(err)
		}
		fs.hooks(nil, nil)
		flips := 0
		for i, image := range images {
			if w.check(t, bare, image, back) {
				flips++
			}
			if t.Failed() {
				t.Fatalf("kill %d, after %s", i, after[i])
			}
		}
		closeAll(t, d)
		if least := map[bool]int{false: 25, true: 5}[back]; len(images) < least || flips == 0 || flips == len(images) {
			t.Errorf("%d kills, %d after the flip", len(images), flips)
		}
	}
}

// TestRestoreSurvivesFaults fails each operation of a restore, or of its undo, once. Whatever it says, the table is whole, and
// what was made beside is gone with the next sweep.
func TestRestoreSurvivesFaults(t *testing.T) {
	for _, back := range []bool{false, true} {
		failures := 0
		for n := 0; ; n++ {
			mem := vfs.NewMem()
			fs := &hookFS{FS: mem}
			w, d := prepared(t, fs, "/", back)
			hit := ""
			before, fired := failNth(n, errFault, func(o fileOp) bool { return !strings.HasPrefix(o.base(), "LOCK") })
			fs.hooks(func(o fileOp) error {
				err := before(o)
				if err != nil {
					hit = o.kind + " " + o.path
				}
				return err
			}, nil)
			err := act(t, w, d, back)
			fs.hooks(nil, nil)
			if !fired() {
				if err != nil {
					t.Fatal(err)
				}
				closeAll(t, d)
				break
			}
			if err != nil {
				failures++
				if !errors.Is(err, errFault) || errors.Is(err, messages.ErrDataLoss) {
					t.Errorf("error is %v", err)
				}
			}
			closeAll(t, d)
			if flipped := w.check(t, fs, w.path, back); err == nil && !flipped {
				t.Error("no error, and the table is as it was")
			}
			if t.Failed() {
				t.Fatalf("fault %d, in %s", n, hit)
			}
		}
		if least := map[bool]int{false: 40, true: 8}[back]; failures < least {
			t.Errorf("%d faults made it fail", failures)
		}
	}
}

// The parent of a lineage is what it branched off from, and not what that one did: lost ranges and retention go by it.
func TestParentOfARestoredLineageThatIsRestored(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("/parent", 0o755); err != nil {
		t.Fatal(err)
	}
	w := newRewind(t, fs, "/parent")
	d := w.open(t, fs, w.path)
	defer closeAll(t, d)
	parent := w.label.GetPosition()
	for range 3 {
		lineage, err := w.restore(d, undoneAt)
		if err != nil {
			t.Fatal(err)
		}
		s := openTable(t, d)
		record := s.Record()
		if record.GetPosition().GetLineage() != lineage || !proto.Equal(record.GetParent(), parent) {
			t.Errorf("lineage %s has the parent %v, want %v", lineage, record.GetParent(), parent)
		}
		// The next one is restored from a cut of this one.
		mustPut(t, s, "more", lineage)
		w.cut = fs.PathJoin("/parent", "cut-"+lineage)
		if w.label, err = s.Cut(w.cut); err != nil {
			t.Fatal(err)
		}
		parent = w.label.GetPosition()
		closeAll(t, s)
	}
}
