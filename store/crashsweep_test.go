package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crashSweep takes a clone of a disk, as a power loss would leave it, after every call that changes it and after every
// promise. Calls, promises and clones exclude each other, so no clone holds a part of a call, and none is missed between two.
type crashSweep struct {
	fs      *hookFS
	mem     *vfs.MemFS
	percent int        // of what is not fsynced that survives
	every   int        // of the clones that may differ, how many are passed by for each that is taken; with 0 % none is
	rng     *rand.Rand // its own: clones are taken on Pebble's goroutines

	// What follows is guarded by fs.guard.
	t      testing.TB
	acked  uint64 // the seq that was promised so far
	seen   int
	images []crashImage
	kinds  map[string]int // the changes, by kind and by the end of the file's name
}

type crashImage struct {
	at    string
	disk  *vfs.MemFS
	acked uint64
}

// newCrashSweep begins a sweep of what happens on mem from now on.
func newCrashSweep(t testing.TB, mem *vfs.MemFS, percent, every int, rng *rand.Rand) *crashSweep {
	w := &crashSweep{t: t, fs: &hookFS{FS: mem}, mem: mem, percent: percent, every: every,
		rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	w.restart()
	w.fs.each(func(o fileOp) {
		if !o.changes() {
			return
		}
		w.kinds[o.kind+" "+o.base()[strings.LastIndexAny(o.base(), ".")+1:]]++
		w.clone(o.kind+" of "+o.path, o.kind == "sync")
	})
	return w
}

// clone takes a clone. Without a sync nothing of a change reaches one of 0 %: the one before is that of this instant, too, and
// answers for what was promised since.
func (w *crashSweep) clone(after string, synced bool) {
	if w.percent == 0 && !synced && len(w.images) > 0 {
		last := &w.images[len(w.images)-1]
		if last.acked != w.acked {
			last.acked, last.at = w.acked, last.at+", and later "+after
		}
		return
	}
	if w.seen++; w.percent > 0 && w.every > 0 && w.seen%w.every != 0 {
		return
	}
	w.images = append(w.images, crashImage{acked: w.acked, disk: crashRemoving(w.t, w.mem, w.percent, w.rng),
		at: fmt.Sprintf("%d %% of the unsynced, crash %d, after %s", w.percent, len(w.images), after)})
}

// promise notes that a seq was acknowledged, and crashes at that instant.
func (w *crashSweep) promise(seq uint64) {
	w.fs.guard.Lock()
	defer w.fs.guard.Unlock()
	w.acked = seq
	w.clone(fmt.Sprintf("the answer to seq %d", seq), false)
}

// restart forgets what was seen so far, and begins with the disk as it is.
func (w *crashSweep) restart() {
	w.fs.guard.Lock()
	defer w.fs.guard.Unlock()
	w.images, w.kinds, w.seen = nil, map[string]int{}, 0
	w.clone("the beginning", true)
}

// crash is what a crash now leaves, with percent of what is not fsynced.
func (w *crashSweep) crash(percent int) *vfs.MemFS {
	w.fs.guard.Lock()
	defer w.fs.guard.Unlock()
	return crash(w.mem, percent, w.rng)
}

// crashes returns the images so far.
func (w *crashSweep) crashes() []crashImage {
	w.fs.guard.Lock()
	defer w.fs.guard.Unlock()
	return w.images
}

// end stops the sweep and returns the images.
func (w *crashSweep) end() []crashImage {
	w.fs.each(nil)
	return w.crashes()
}

// covers wants the sweep to have seen so many changes of each kind.
func (w *crashSweep) covers(least map[string]int) {
	w.t.Helper()
	w.fs.guard.Lock()
	defer w.fs.guard.Unlock()
	for kind, n := range least {
		if w.kinds[kind] < n {
			w.t.Errorf("%d of %q, want %d: the sweep does not cover it", w.kinds[kind], kind, n)
		}
	}
}

// history is the rows of a table after each seq at which a group may end.
type history map[uint64]map[string]string

// writeAtRandom commits groups, up to 8 of them ahead of their acknowledgement, until n were applied.
func (w *crashSweep) writeAtRandom(s *Store, rng *rand.Rand, n int, h history) {
	w.t.Helper()
	now := maps.Clone(h[s.Record().GetPosition().GetSeq()])
	waiting := make(chan *Commit, 8)
	var acker sync.WaitGroup
	acker.Go(func() {
		for c := range waiting {
			if err := c.Wait(); err != nil {
				w.t.Error(err)
			}
			w.promise(c.seq)
		}
	})
	// Also where a Fatal ends the test: no goroutine may outlive it.
	defer acker.Wait()
	defer close(waiting)
	for range n {
		g, err := s.Begin()
		if err != nil {
			w.t.Fatal(err)
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
				w.t.Fatal(err)
			}
		}
		h[g.Seq()] = maps.Clone(now)
		c, err := s.Apply(g)
		if err != nil {
			w.t.Fatal(err)
		}
		waiting <- c
	}
}

// check opens what a crash left: the table is as after one of its groups, no earlier than what was promised, and is written
// again.
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
