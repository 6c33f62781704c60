package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crashSweep takes a clone, as a power loss would leave it, after every change of its disk.
type crashSweep struct {
	fs *hookFS
	// acked is the seq that was promised so far.
	acked atomic.Uint64

	mu     sync.Mutex // Pebble changes files on goroutines of its own
	images []crashImage
	kinds  map[string]int // the changes, by kind and by the end of the file's name
}

type crashImage struct {
	at    string
	disk  *vfs.MemFS
	acked uint64
}

// newCrashSweep begins a sweep of what happens on mem from now on; percent of what is not fsynced survives.
func newCrashSweep(t testing.TB, mem *vfs.MemFS, percent int, rng *rand.Rand) *crashSweep {
	w := &crashSweep{fs: &hookFS{FS: mem}, kinds: map[string]int{}}
	w.fs.hooks(nil, func(o fileOp) {
		if !o.changes() {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		// What was promised is read before the clone is taken: later promises need later changes.
		image := crashImage{acked: w.acked.Load(),
			at: fmt.Sprintf("%d %% of the unsynced, crash %d, after %s of %s", percent, len(w.images), o.kind, o.path)}
		w.fs.guard.Lock()
		image.disk = crashRemoving(t, mem, percent, rng)
		w.fs.guard.Unlock()
		w.images = append(w.images, image)
		w.kinds[o.kind+" "+o.base()[strings.LastIndexAny(o.base(), ".")+1:]]++
	})
	return w
}

// restart forgets what was seen so far.
func (w *crashSweep) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images, w.kinds = nil, map[string]int{}
}

// end stops the sweep and returns the images.
func (w *crashSweep) end() []crashImage {
	w.fs.hooks(nil, nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.images
}

// history is the rows of a table after each seq at which a group may end.
type history map[uint64]map[string]string

// writeAtRandom commits groups, up to 8 of them ahead of their acknowledgement, until n were applied.
func (w *crashSweep) writeAtRandom(t *testing.T, s *Store, rng *rand.Rand, n int, h history) {
	t.Helper()
	now := maps.Clone(h[s.Record().GetPosition().GetSeq()])
	waiting := make(chan *Commit, 8)
	var acker sync.WaitGroup
	acker.Go(func() {
		for c := range waiting {
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
			w.acked.Store(c.seq)
		}
	})
	for range n {
		g, err := s.Begin()
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(3) {
			key := fmt.Sprintf("%02d", rng.IntN(60))
			switch rng.IntN(10) {
			case 0:
				err = g.Delete([]byte(key))
				delete(now, key)
			case 1:
				err = g.DeleteRange([]byte(key), []byte(key[:1]+":"), nil)
				maps.DeleteFunc(now, func(k, _ string) bool { return k >= key && k < key[:1]+":" })
			default:
				now[key] = strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(1500))
				err = g.Put([]byte(key), []byte(now[key]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		// Before Apply: from then on a crash may find it.
		w.mu.Lock()
		h[g.Seq()] = maps.Clone(now)
		w.mu.Unlock()
		c, err := s.Apply(g)
		if err != nil {
			t.Fatal(err)
		}
		waiting <- c
	}
	close(waiting)
	acker.Wait()
}

// check opens what a crash left: the table is as after one of its groups, no earlier than what was promised.
func (h history) check(t *testing.T, c crashImage) {
	t.Helper()
	d := openDirectory(t, c.disk)
	s, err := d.Open("t", OpenOptions{})
	if err != nil {
		t.Fatalf("%s: %v", c.at, err)
	}
	got, seq := rows(t, s), s.Record().GetPosition().GetSeq()
	if want, ok := h[seq]; !ok || seq < c.acked || !maps.Equal(got, want) {
		t.Fatalf("%s: %d acknowledged, seq %d, which ends a group: %v; %d rows, want %d", c.at, c.acked, seq, ok, len(got), len(want))
	}
	checkRecord(t, s.Record(), got)
	if names, err := c.disk.List(d.Staging("", "")); err != nil || len(names) > 0 {
		t.Fatalf("%s: staging holds %v, %v", c.at, names, err)
	}
	mustPut(t, s, "after", "the crash")
	closeAll(t, s, d)
}

// A commit, with what it brings along: WALs that are rotated and used again, flushes, compactions, a clean close.
func TestCommitSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 1 + rng.IntN(99)} {
		mem := vfs.NewCrashableMem()
		w := newCrashSweep(t, mem, percent, rng)
		d := openDirectory(t, w.fs, func(o *DirectoryOptions) { o.MemTableBytes = 16 << 10 })
		s := openTable(t, d)
		h := history{0: {}}
		w.restart() // the creation has a test of its own
		w.writeAtRandom(t, s, rng, 100, h)
		if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
			t.Fatal(err)
		}
		w.writeAtRandom(t, s, rng, 20, h)
		compactions := s.db.Metrics().Compact.Count
		closeAll(t, s)
		images := w.end()
		closeAll(t, d)
		t.Logf("%d %% of the unsynced: %d crashes, %d compactions", percent, len(images), compactions)
		for kind, least := range map[string]int{"sync log": 20, "reuse log": 2, "create sst": 5, "remove sst": 2} {
			if w.kinds[kind] < least {
				t.Errorf("%d of %q, want %d: the sweep does not cover it", w.kinds[kind], kind, least)
			}
		}
		for i, c := range images {
			if percent == 0 || i%5 == 0 {
				h.check(t, c)
			}
		}
	}
}

// A cut, with the flush before it, between two commits. A power loss leaves nothing of what is staged, a kill all of it.
func TestCutSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 100} {
		w := newCrashSweep(t, vfs.NewCrashableMem(), percent, rng)
		d := openDirectory(t, w.fs, func(o *DirectoryOptions) { o.MemTableBytes = 16 << 10 })
		s := openTable(t, d)
		h := history{0: {}}
		w.writeAtRandom(t, s, rng, 30, h)
		w.restart()
		for i := range 3 {
			if i > 0 { // the first cut has rows in the WAL alone
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Cut(d.Staging(fmt.Sprint("RUN", i), "t")); err != nil {
				t.Fatal(err)
			}
			w.writeAtRandom(t, s, rng, 5, h)
		}
		images := w.end()
		closeAll(t, s, d)
		t.Logf("%d %% of the unsynced: %d crashes", percent, len(images))
		if w.kinds["link sst"] < 3 {
			t.Errorf("%d sstables were linked: the sweep does not cover it", w.kinds["link sst"])
		}
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
			mem := vfs.NewCrashableMem()
			before := &crashSweep{fs: &hookFS{FS: mem}}
			d := openDirectory(t, before.fs, func(o *DirectoryOptions) { o.MemTableBytes = 16 << 10 })
			s := openTable(t, d)
			h := history{0: {}}
			before.writeAtRandom(t, s, rng, 60, h)
			image := crash(mem, first, rng)
			closeAll(t, s, d)

			w := newCrashSweep(t, image, second, rng)
			w.acked.Store(before.acked.Load())
			d = openDirectory(t, w.fs, func(o *DirectoryOptions) { o.MemTableBytes = 16 << 10 })
			s = openTable(t, d, func(o *OpenOptions) { o.Create = false })
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			w.writeAtRandom(t, s, rng, 3, h)
			images := w.end()
			closeAll(t, s, d)
			if len(images) < 30 {
				t.Errorf("only %d changes of the disk", len(images))
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
	w := newCrashSweep(t, mem, percent, rng)
	d = openDirectory(t, w.fs)
	s := openTable(t, d, func(o *OpenOptions) { o.Recreate = true })
	w.acked.Store(1) // the creation
	mustPut(t, s, "c", "3")
	w.acked.Store(2)
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
