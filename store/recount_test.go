package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// fill commits n rows of size bytes in groups of 500.
func fill(t testing.TB, s *Store, n, size int) {
	t.Helper()
	for i := 0; i < n; i += 500 {
		err := commit(s, func(g *Group) error {
			for j := i; j < min(n, i+500); j++ {
				if err := g.Put(fmt.Appendf(nil, "%06d", j), []byte(strings.Repeat("v", size))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The scan runs beside groups of every kind; the record is exact as soon as it says so, and stays so.
func TestTableBecomesExactWhileItIsWritten(t *testing.T) {
	rng := random(t)
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d, keeping(atCut))
	fill(t, s, 20_000, 20)
	closeAll(t, s)
	s = openTable(t, d)
	counted := make(chan error, 1)
	go func() { counted <- s.Recount() }()
	write := func() {
		t.Helper()
		at := fmt.Sprintf("%06d", rng.IntN(21_000))
		step := []step{putStep(at, "new"), putStep(at+"x", ""), deleteStep(at), rangeStep(at, at[:5]+":")}[rng.IntN(4)]
		if err := commit(s, step); err != nil {
			t.Fatal(err)
		}
	}
	during := 0
	for ; isAtCut(s.Record()); during++ {
		if during > 1<<20 {
			t.Fatal("the table does not become exact")
		}
		write()
	}
	if err := <-counted; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d groups during the scan", during)
	checkRecord(t, s.Record(), rows(t, s))
	for range 100 {
		write()
	}
	checkRecord(t, s.Record(), rows(t, s))
	closeAll(t, s, d)
}

// A crash after any file operation of both changes leaves a record that is at_cut, or one that is right; and a table at_cut
// becomes exact with the next open.
func TestChangeOfAccountingSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 60} {
		mem := vfs.NewCrashableMem()
		fs := &hookFS{FS: mem}
		d := openDirectory(t, fs)
		var mu sync.Mutex // Pebble flushes and removes files on goroutines of its own
		var images []*vfs.MemFS
		fs.hooks(nil, func(o fileOp) {
			if o.changes() {
				mu.Lock()
				defer mu.Unlock()
				images = append(images, crash(mem, percent, rng))
			}
		})
		for _, mode := range []messages.Accounting{exact, atCut, exact} {
			s := openTable(t, d, keeping(mode))
			steps := []func() error{
				func() error { return put(s, "a", "1") },
				func() error { return commit(s, rangeStep("a", "b")) },
				s.Recount,
				func() error { return put(s, "c", fmt.Sprint(mode)) },
				func() error { return put(s, "d", "4") },
				s.Flush,
				func() error { return commit(s, deleteStep("c")) },
			}
			for _, step := range steps {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			closeAll(t, s)
		}
		fs.hooks(nil, nil)
		closeAll(t, d)
		atCuts := 0
		for i, image := range images {
			d := openDirectory(t, image)
			s := openTable(t, d)
			if isAtCut(s.Record()) {
				atCuts++
				if err := errors.Join(s.Recount(), recorded(s)); err != nil {
					t.Fatalf("crash %d: %v", i, err)
				}
			}
			if s.Record().GetAccounting() != exact {
				t.Fatalf("crash %d: record %v", i, s.Record())
			}
			checkRecord(t, s.Record(), rows(t, s))
			closeAll(t, s, d)
		}
		if atCuts == 0 || atCuts == len(images) {
			t.Errorf("%d of %d crashes left a table at_cut", atCuts, len(images))
		}
	}
}

// A recount that is cut short, by a close or by a read that fails, leaves a table at_cut that works.
func TestFailedRecountLeavesTheTableAtCut(t *testing.T) {
	damaged := &damagedFS{FS: vfs.NewMem()}
	flip := func(p []byte) (int, error) { p[len(p)/2] ^= 0xff; return len(p), nil }
	d := openDirectory(t, damaged)
	s := openTable(t, d, keeping(atCut))
	fill(t, s, 1000, 20)
	closeAll(t, s)

	s = openTable(t, d)
	closeAll(t, s)
	if err := s.Recount(); !errors.Is(err, ErrClosed) {
		t.Errorf("recount of a closed store = %v", err)
	}

	s = openTable(t, d)
	mustPut(t, s, "before", "1")
	damaged.damage.Store(&flip)
	if err := s.Recount(); !errors.Is(err, messages.ErrDataLoss) || s.Snapshots() != 0 {
		t.Errorf("recount of a damaged table = %v, %d snapshots open", err, s.Snapshots())
	}
	// Nothing is read for an accounting that will not come.
	mustPut(t, s, "000500", "1")
	if err := commit(s, rangeStep("0001", "0002")); err != nil {
		t.Error(err)
	}
	damaged.damage.Store(nil)
	if !isAtCut(s.Record()) || recorded(s) == nil {
		t.Errorf("record %v", s.Record())
	}
	closeAll(t, s)

	s = openTable(t, d)
	if err := errors.Join(s.Recount(), recorded(s)); err != nil {
		t.Fatal(err)
	}
	checkRecord(t, s.Record(), rows(t, s))
	closeAll(t, s, d)
}

func TestUsageAtCutDoesNotGuess(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	knownUsage(t, s)
	closeAll(t, s)
	s = openTable(t, d, keeping(atCut))
	knownUsage(t, s) // nothing was written yet
	mustPut(t, s, "a", "2")
	if u, err := s.Usage(); err != nil || u.Fragmentation != nil || u.DiskBytes == 0 {
		t.Errorf("usage = %v, %v", u, err)
	}
	closeAll(t, s, d)
}
