package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The sweeps below take every crash of a short script that keeps nothing that is not fsynced, and some that keep parts of it.

func smallMemtable(o *DirectoryOptions) { o.MemTableBytes = 8 << 10 }

// A commit, with what it brings along: WALs that are rotated and used again, flushes, compactions, a clean close.
func TestCommitSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 1 + rng.IntN(99)} {
		w := newCrashSweep(t, vfs.NewCrashableMem(), percent, 20, rng)
		d := openDirectory(t, w.fs, smallMemtable)
		s := openTable(t, d)
		h := history{0: {}}
		w.restart() // the creation has a test of its own
		w.writeAtRandom(s, rng, 40, h)
		compactAll(t, s)
		w.writeAtRandom(s, rng, 10, h)
		closeAll(t, s)
		images := w.end()
		closeAll(t, d)
		t.Logf("%d %% of the unsynced: %d crashes", percent, len(images))
		w.covers(map[string]int{"sync log": 10, "reuse log": 1, "create sst": 3, "remove sst": 1})
		for _, c := range images {
			h.check(t, c)
		}
	}
}

// A table that is made: it is there, and takes writes, from the instant on at which its creation ends, and with all that is
// acknowledged later. The open behind it would hide a name of current that is not durable: Pebble fsyncs the directory.
func TestFirstWriteSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	w := newCrashSweep(t, vfs.NewCrashableMem(), 0, 0, rng)
	d := openDirectory(t, w.fs)
	w.restart()
	if _, err := d.create("t", 0); err != nil {
		t.Fatal(err)
	}
	created := len(w.crashes()) - 1 // the disk as it is now
	s := openTable(t, d, func(o *OpenOptions) { o.Create = false })
	h := history{0: {}}
	w.writeAtRandom(s, rng, 3, h)
	closeAll(t, s)
	images := w.end()
	closeAll(t, d)
	if created < 5 || len(images) < created+4 {
		t.Errorf("%d crashes of the creation, %d in all: the sweep does not cover it", created, len(images))
	}
	for _, c := range images[:created] {
		d := openDirectory(t, c.disk)
		s, err := d.Open("t", OpenOptions{Create: true})
		if err != nil || s.Record().GetPosition().GetSeq() > 0 {
			t.Fatalf("%s: %v", c.at, err)
		}
		mustPut(t, s, "after", "the crash")
		closeAll(t, s, d)
	}
	for _, c := range images[created:] {
		h.check(t, c)
	}
}

// A cut, with the flush before it, between two commits. A power loss leaves nothing of what is staged, a kill all of it.
func TestCutSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 100} {
		w := newCrashSweep(t, vfs.NewCrashableMem(), percent, 8, rng)
		d := openDirectory(t, w.fs, smallMemtable)
		s := openTable(t, d)
		h := history{0: {}}
		w.writeAtRandom(s, rng, 15, h)
		w.restart()
		for i := range 2 {
			if i > 0 { // the first cut has rows in the WAL alone
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Cut(d.Staging(fmt.Sprint("RUN", i), "t")); err != nil {
				t.Fatal(err)
			}
			w.writeAtRandom(s, rng, 4, h)
		}
		images := w.end()
		closeAll(t, s, d)
		t.Logf("%d %% of the unsynced: %d crashes", percent, len(images))
		w.covers(map[string]int{"link sst": 2})
		for _, c := range images {
			h.check(t, c)
		}
	}
}

// An open after a crash, that replays a WAL, and a second crash in it.
func TestRecoverySurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, first := range []int{0, 100} { // a power loss, a kill
		for _, second := range []int{0, 1 + rng.IntN(99)} {
			before := newCrashSweep(t, vfs.NewCrashableMem(), 0, 0, rng)
			d := openDirectory(t, before.fs, smallMemtable)
			s := openTable(t, d)
			h := history{0: {}}
			before.writeAtRandom(s, rng, 20, h)
			image := before.crash(first)
			closeAll(t, s, d)
			before.end()

			w := newCrashSweep(t, image, second, 7, rng)
			w.acked = before.acked
			w.restart()
			d = openDirectory(t, w.fs, smallMemtable)
			s = openTable(t, d, func(o *OpenOptions) { o.Create = false })
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			w.writeAtRandom(s, rng, 3, h)
			images := w.end()
			closeAll(t, s, d)
			t.Logf("a crash with %d %%, one with %d %%: %d crashes", first, second, len(images))
			if len(images) < 5 {
				t.Errorf("only %d crashes", len(images))
			}
			for _, c := range images {
				h.check(t, c)
			}
		}
	}
}

// A table that is made again in place of a dropped one: it is there, or the dropped one still is what it was, and its rows are
// kept in any case.
func TestRecreationSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 1 + rng.IntN(99), 100} {
		recreate(t, percent, rng)
	}
}

func recreate(t *testing.T, percent int, rng *rand.Rand) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	d, lineage := dropped(t, mem, time.Now().Add(time.Hour))
	closeAll(t, d)
	w := newCrashSweep(t, mem, percent, 4, rng)
	d = openDirectory(t, w.fs)
	s := openTable(t, d, func(o *OpenOptions) { o.Recreate = true })
	w.promise(1) // the creation
	mustPut(t, s, "c", "3")
	w.promise(2)
	closeAll(t, s)
	images := w.end()
	closeAll(t, d)
	remade := 0
	for _, c := range images {
		d := openDirectory(t, c.disk)
		kept, err := d.Undo("t")
		if err != nil || len(kept) != 1 || kept[0].GetLineage() != lineage {
			t.Fatalf("%s: undo %v, %v", c.at, kept, err)
		}
		s, err := d.Open("t", OpenOptions{Create: true})
		switch {
		case errors.Is(err, ErrDropped) && c.acked == 0:
		case err != nil:
			t.Fatalf("%s: %v", c.at, err)
		default:
			remade++
			if got := rows(t, s); c.acked == 2 && got["c"] != "3" || got["a"] != "" {
				t.Fatalf("%s: rows %v", c.at, got)
			}
			closeAll(t, s)
			if err := d.Drop("t", time.Now().Add(time.Hour)); err != nil {
				t.Fatalf("%s: %v", c.at, err)
			}
		}
		// The rows of the dropped one are there, by hand.
		if err := WriteDurably(c.disk, d.fs.PathJoin(d.tablePath("t"), currentFile), []byte(lineage+"\n")); err != nil {
			t.Fatal(err)
		}
		s, err = d.Open("t", OpenOptions{})
		if err != nil || rows(t, s)["a"] != "1" {
			t.Fatalf("%s: the dropped table: %v", c.at, err)
		}
		closeAll(t, s, d)
	}
	if remade == 0 || remade == len(images) {
		t.Errorf("the new table is there in %d of %d crashes", remade, len(images))
	}
}
