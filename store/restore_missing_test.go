package store

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// bereft takes the table of a rewind away, in one of these ways.
var bereft = map[string]func(t testing.TB, w *rewind, d *Directory){
	"never there": func(t testing.TB, w *rewind, d *Directory) {
		if err := errors.Join(d.fs.RemoveAll(d.tablePath("t")), SyncDir(d.fs, d.fs.PathDir(d.tablePath("t")))); err != nil {
			t.Fatal(err)
		}
	},
	"dropped": func(t testing.TB, w *rewind, d *Directory) {
		if err := d.Drop("t", undoneAt); err != nil {
			t.Fatal(err)
		}
	},
	"current damaged": func(t testing.TB, w *rewind, d *Directory) {
		if err := WriteDurably(d.fs, d.fs.PathJoin(d.tablePath("t"), currentFile), []byte("?")); err != nil {
			t.Fatal(err)
		}
	},
}

// checkBereft is rewind.check where no table served before.
func (w *rewind) checkBereft(t testing.TB, fs vfs.FS, how string) (flipped bool) {
	t.Helper()
	d := w.open(t, fs, w.path)
	defer closeAll(t, d)
	if _, err := d.SweepUndo("t", time.Now()); (err != nil) && (how != "current damaged" || !errors.Is(err, messages.ErrDataLoss)) {
		t.Fatal(err)
	}
	s, err := d.Open("t", OpenOptions{})
	want := map[string]error{"never there": ErrMissing, "dropped": ErrDropped, "current damaged": messages.ErrDataLoss}[how]
	switch {
	case err == nil:
		flipped = true
		if got := rows(t, s); !maps.Equal(got, w.was) || s.Lineage() == w.lineage {
			t.Errorf("serves %d rows of lineage %s", len(got), s.Lineage())
		}
		closeAll(t, s)
	case !errors.Is(err, want) || how == "never there" && errors.Is(err, ErrDropped):
		t.Errorf("Open = %v, want %v", err, want)
	}
	lineages, err := d.Lineages("t")
	if err != nil {
		t.Fatal(err)
	}
	most := map[bool]int{true: 1}[flipped] + map[bool]int{true: 1}[how != "never there"]
	if how != "current damaged" && len(lineages) != most || flipped && len(lineages) != most {
		t.Errorf("lineages are %v, flipped %v", lineages, flipped)
	}
	if how != "never there" {
		if err := d.Serve("t", w.lineage, UndoRestored, time.Now()); err != nil {
			t.Fatal(err)
		}
		s := openTable(t, d)
		if got := rows(t, s); !maps.Equal(got, w.old) {
			t.Errorf("undo brought back %d rows", len(got))
		}
		closeAll(t, s)
	}
	return flipped
}

// TestRestoreOfAMissingTableSurvivesACrashAnywhere: it is missing as it was, or restored.
func TestRestoreOfAMissingTableSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for how, take := range bereft {
		for _, percent := range []int{0, 50, 50, 100} {
			mem := vfs.NewCrashableMem()
			fs := &hookFS{FS: mem}
			w := newRewind(t, fs, "/")
			d := w.open(t, fs, w.path)
			take(t, w, d)
			var images []*vfs.MemFS
			var after []string
			fs.hooks(nil, func(o fileOp) {
				if !o.changes() || strings.HasPrefix(o.base(), "LOCK") {
					return
				}
				fs.guard.Lock()
				defer fs.guard.Unlock()
				times := 1
				if o.base() == currentFile && percent == 50 {
					times = 20 // what is lost of several names is left to chance
				}
				for range times {
					images = append(images, crashRemoving(t, mem, percent, rng))
					after = append(after, o.kind+" "+o.path)
				}
			})
			if _, err := w.restore(d, undoneAt); err != nil {
				t.Fatal(err)
			}
			fs.hooks(nil, nil)
			images, after = append(images, crashRemoving(t, mem, percent, rng)), append(after, "the end")
			closeAll(t, d)
			for i, image := range images {
				if flipped := w.checkBereft(t, image, how); i == len(images)-1 && !flipped {
					t.Error("a crash after the end undoes it")
				}
				if t.Failed() {
					t.Fatalf("%s, %d %%: crash %d, after %s", how, percent, i, after[i])
				}
			}
			if len(images) < 50 {
				t.Errorf("%d crashes", len(images))
			}
		}
	}
}

// TestUnfinishedRestoreIsNoDrop: a table that never was can be made, whatever a restore has left of it.
func TestUnfinishedRestoreIsNoDrop(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	defer closeAll(t, d)
	r, err := d.StartRestore("t")
	if err != nil {
		t.Fatal(err)
	}
	r.release() // as the end of the process does
	if _, err := d.Open("t", OpenOptions{}); !errors.Is(err, ErrMissing) || errors.Is(err, ErrDropped) {
		t.Errorf("Open = %v, want ErrMissing", err)
	}
	closeAll(t, openTable(t, d))
	if n, err := d.SweepUndo("t", time.Now()); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
}

// TestAbandonedRestoreLeavesNothing, wherever it is; a finished one does not serve.
func TestAbandonedRestoreLeavesNothing(t *testing.T) {
	w := newRewind(t, vfs.NewMem(), "/")
	d := w.open(t, w.fs, w.path)
	defer closeAll(t, d)
	before := tree(t, w.fs, d.tablePath("t"))
	for stage := range 4 {
		r, err := d.StartRestore("t")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Serve(UndoRestored, undoneAt); !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("Serve before Finish = %v", err)
		}
		if stage > 0 {
			if err := w.fill(d.fs, r.Path()); err != nil {
				t.Fatal(err)
			}
		}
		if stage == 2 { // of another position
			label := cloneRecord(w.label)
			label.Position.Seq++
			if _, err := r.Finish(label); !errors.Is(err, messages.ErrDataLoss) {
				t.Errorf("Finish = %v, want ErrDataLoss", err)
			}
		}
		if stage == 3 {
			if _, err := r.Finish(w.label); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := d.SweepUndo("t", time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("stage %d: %d swept while it is being made, %v", stage, n, err)
		}
		if err := errors.Join(r.Abandon(), r.Abandon()); err != nil {
			t.Fatal(err)
		}
		checkTree(t, before, tree(t, w.fs, d.tablePath("t")))
	}
	for _, lineage := range []string{"01J9000000000000000000000A", "..", "current"} {
		if err := d.Serve("t", lineage, UndoRestored, undoneAt); err == nil {
			t.Errorf("served %q", lineage)
		}
	}
	checkTree(t, before, tree(t, w.fs, d.tablePath("t")))
}

// TestServeBesideASweep: undo whose life has ended is brought back while it is swept: all of it, or nothing.
func TestServeBesideASweep(t *testing.T) {
	served := map[bool]int{}
	for n := range 60 {
		mem := vfs.NewMem()
		fs := &hookFS{FS: mem}
		w := newRewind(t, fs, "/")
		d := w.open(t, fs, w.path)
		if _, err := w.restore(d, time.Now()); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		ops := 0
		before := func(fileOp) error {
			if ops++; ops != n+1 {
				return nil
			}
			fs.hooks(nil, nil)
			group.Add(1)
			done := make(chan struct{})
			go func() {
				defer group.Done()
				defer close(done)
				if err := d.Serve("t", w.lineage, UndoRestored, undoneAt); err == nil {
					served[true]++
				} else if !errors.Is(err, messages.ErrUnavailable) && !errors.Is(err, messages.ErrNotFound) {
					t.Errorf("Serve = %v", err)
				} else {
					served[false]++
				}
			}()
			<-done
			return nil
		}
		fs.hooks(before, nil)
		_, err := d.SweepUndo("t", time.Now())
		fs.hooks(nil, nil)
		group.Wait()
		if err != nil {
			t.Fatal(err)
		}
		s := openTable(t, d)
		want := w.was
		if s.Lineage() == w.lineage {
			want = w.old
		}
		if got := rows(t, s); !maps.Equal(got, want) {
			t.Errorf("beside operation %d: %d rows", n, len(got))
		}
		closeAll(t, s, d)
		if ops <= n {
			break
		}
	}
	if served[true] == 0 || served[false] == 0 {
		t.Errorf("served %v", fmt.Sprint(served))
	}
}
