package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// dropped makes a directory on fs whose table t was dropped with two rows, and returns it with the lineage.
func dropped(t *testing.T, fs vfs.FS, until time.Time) (*Directory, string) {
	t.Helper()
	d := openDirectory(t, fs)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	mustPut(t, s, "b", "2")
	lineage := s.Lineage()
	closeAll(t, s)
	if err := d.Drop("t", until); err != nil {
		t.Fatal(err)
	}
	return d, lineage
}

func TestDroppedTableIsKeptAsUndo(t *testing.T) {
	until := time.Now().Add(time.Hour)
	d, lineage := dropped(t, vfs.NewMem(), until)
	defer closeAll(t, d)
	for _, o := range []OpenOptions{{}, {Create: true}} {
		if _, err := d.Open("t", o); !errors.Is(err, ErrDropped) || !errors.Is(err, ErrMissing) {
			t.Fatalf("Open(%+v) = %v, want ErrDropped", o, err)
		} else {
			checkHint(t, err)
		}
	}
	if err := d.Drop("t", until); !errors.Is(err, ErrMissing) {
		t.Errorf("second Drop = %v, want ErrMissing", err)
	}
	if has, err := d.Has("t"); has || err != nil {
		t.Errorf("Has = %v, %v", has, err)
	}
	wantTables := func(want string) {
		t.Helper()
		tables, err := d.Tables()
		names, errNames := d.Names()
		if got := fmt.Sprint(tables, names); got != want+" [t]" || err != nil || errNames != nil {
			t.Errorf("tables and directories %s, %v, %v; want %s [t]", got, err, errNames, want)
		}
	}
	wantTables("[]")
	s, err := d.Open("t", OpenOptions{Recreate: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := rows(t, s); len(got) != 0 || s.Lineage() == lineage {
		t.Errorf("recreated with rows %v, lineage %s", got, s.Lineage())
	}
	mustPut(t, s, "c", "3")
	closeAll(t, s)
	wantTables("[t]")
	kept, err := d.Undo("t")
	if err != nil || len(kept) != 1 || kept[0].GetLineage() != lineage || kept[0].GetReason() != UndoDropped ||
		!kept[0].GetUntil().AsTime().Equal(until) || kept[0].GetSince().AsTime().IsZero() {
		t.Fatalf("undo = %v, %v", kept, err)
	}
	if bytes, err := d.UndoBytes("t", lineage); err != nil || bytes == 0 {
		t.Errorf("undo has %d B, %v", bytes, err)
	}

	runs(d, time.Hour-30*time.Second)
	for _, now := range []time.Time{until.Add(-time.Second), until} {
		removed, err := d.SweepUndo("t", now)
		kept, errUndo := d.Undo("t")
		if want := !now.Before(until); err != nil || errUndo != nil || (removed == 1) != want || (len(kept) == 0) != want {
			t.Errorf("at %v: %d removed, %v; left %v, %v", now, removed, err, kept, errUndo)
		}
	}
	for _, name := range []string{lineage, lineage + markSuffix, lineage + undoSuffix} {
		if ok, err := Exists(d.fs, d.fs.PathJoin(d.tablePath("t"), name)); ok || err != nil {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	s, err = d.Open("t", OpenOptions{})
	if err != nil || len(rows(t, s)) != 1 {
		t.Fatalf("the table that serves: %v", err)
	}
	closeAll(t, s)
}

// percents are how much of what is not fsynced survives the crashes of a short sweep.
func percents(rng *rand.Rand) []int {
	all := []int{0, 100}
	for range 20 {
		all = append(all, 1+rng.IntN(99))
	}
	return all
}

// The table is there with its rows, or dropped with its rows kept; never anything else.
func TestDropSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range percents(rng) {
		mem := vfs.NewCrashableMem()
		fs := &hookFS{FS: mem}
		d := openDirectory(t, fs)
		s := openTable(t, d)
		mustPut(t, s, "a", "1")
		lineage := s.Lineage()
		closeAll(t, s)
		var images []*vfs.MemFS
		fs.hooks(nil, func(o fileOp) {
			if o.changes() {
				images = append(images, crashRemoving(t, mem, percent, rng))
			}
		})
		if err := d.Drop("t", time.Now()); err != nil {
			t.Fatal(err)
		}
		images = append(images, crashRemoving(t, mem, percent, rng))
		fs.hooks(nil, nil)
		closeAll(t, d)
		if len(images) < 6 {
			t.Fatalf("only %d changes of the disk", len(images))
		}
		for i, image := range images {
			d := openDirectory(t, image)
			s, err := d.Open("t", OpenOptions{Create: true})
			switch {
			case err == nil:
				if i == len(images)-1 {
					t.Errorf("%d %%: the table is back after Drop returned", percent)
				}
				if got := rows(t, s); got["a"] != "1" || s.Lineage() != lineage {
					t.Errorf("%d %%, crash %d: rows %v", percent, i, got)
				}
				closeAll(t, s)
				if kept, err := d.Undo("t"); err != nil || len(kept) > 0 {
					t.Errorf("%d %%, crash %d: the table serves, undo %v, %v", percent, i, kept, err)
				}
				// The record of a drop that did not happen is gone: what is lost later is not taken for undo.
				if ok, err := Exists(image, d.undoPath("t", lineage)); ok || err != nil {
					t.Errorf("%d %%, crash %d: the record is left, %v", percent, i, err)
				}
			case errors.Is(err, ErrDropped):
				kept, err := d.Undo("t")
				if err != nil || len(kept) != 1 || kept[0].GetLineage() != lineage {
					t.Errorf("%d %%, crash %d: undo %v, %v", percent, i, kept, err)
				}
				if err := WriteDurably(image, d.fs.PathJoin(d.tablePath("t"), currentFile), []byte(lineage+"\n")); err != nil {
					t.Fatal(err)
				}
				s := openTable(t, d)
				if got := rows(t, s); got["a"] != "1" {
					t.Errorf("%d %%, crash %d: undo holds %v", percent, i, got)
				}
				closeAll(t, s)
			default:
				t.Errorf("%d %%, crash %d: %v", percent, i, err)
			}
			closeAll(t, d)
		}
	}
}

// A crash leaves undo that is swept again, and never a table that lost its current.
func TestSweepUndoSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range percents(rng) {
		mem := vfs.NewCrashableMem()
		fs := &hookFS{FS: mem}
		d, _ := dropped(t, fs, time.Now())
		var images []*vfs.MemFS
		fs.hooks(nil, func(o fileOp) {
			if o.changes() {
				images = append(images, crashRemoving(t, mem, percent, rng))
			}
		})
		if removed, err := d.SweepUndo("t", time.Now()); removed != 1 || err != nil {
			t.Fatalf("%d removed, %v", removed, err)
		}
		images = append(images, crashRemoving(t, mem, percent, rng))
		fs.hooks(nil, nil)
		closeAll(t, d)
		for i, image := range images {
			d := openDirectory(t, image)
			_, err := d.Open("t", OpenOptions{})
			if !errors.Is(err, ErrMissing) {
				t.Errorf("%d %%, crash %d: %v", percent, i, err)
			}
			if _, err := d.SweepUndo("t", time.Now()); err != nil {
				t.Errorf("%d %%, crash %d: sweep again: %v", percent, i, err)
			}
			if names, err := image.List(d.tablePath("t")); len(names) > 0 || err != nil {
				t.Errorf("%d %%, crash %d: left are %v, %v", percent, i, names, err)
			}
			if tables, err := d.Tables(); len(tables) > 0 || err != nil {
				t.Errorf("%d %%, crash %d: tables = %v, %v", percent, i, tables, err)
			}
			closeAll(t, openTable(t, d))
			closeAll(t, d)
		}
	}
}

// Nothing is removed, and nothing served, on the word of a record that is not the lineage's.
func TestDamagedUndoRecord(t *testing.T) {
	d, lineage := dropped(t, vfs.NewMem(), time.Now())
	defer closeAll(t, d)
	path := d.undoPath("t", lineage)
	sound, err := ReadFile(d.fs, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "{", `{"formatVersion":1,"table":"other","lineage":"` + lineage + `"}`} {
		if err := WriteDurably(d.fs, path, []byte(data)); err != nil {
			t.Fatal(err)
		}
		_, swept := d.SweepUndo("t", time.Now())
		_, opened := d.Open("t", OpenOptions{Recreate: true})
		for what, err := range map[string]error{"SweepUndo": swept, "Open": opened} {
			if !errors.Is(err, messages.ErrDataLoss) {
				t.Errorf("%s with the record %q = %v, want ErrDataLoss", what, data, err)
			}
		}
		if names, err := d.Tables(); err != nil || len(names) != 1 {
			t.Errorf("tables = %v, %v, want the one that cannot be told", names, err)
		}
	}
	if err := WriteDurably(d.fs, path, []byte(`{"formatVersion":99}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SweepUndo("t", time.Now()); !errors.Is(err, ErrNewer) {
		t.Errorf("SweepUndo with a newer record = %v, want ErrNewer", err)
	}
	if err := WriteDurably(d.fs, path, sound); err != nil {
		t.Fatal(err)
	}
	if removed, err := d.SweepUndo("t", time.Now()); removed != 1 || err != nil {
		t.Errorf("%d removed, %v", removed, err)
	}
}
