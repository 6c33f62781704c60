package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestSumsTellProgressAndStop, at each place where they are told to.
func TestSumsTellProgressAndStop(t *testing.T) {
	d := openDirectory(t, vfs.NewMem(), func(o *DirectoryOptions) { o.MemTableBytes = 4 << 20 })
	s := openTable(t, d, keeping(atCut))
	fill(t, s, 500, 1)
	fill(t, s, 3, 1<<20)
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	got, err := n.Sums(1, func() error { calls++; return nil })
	if want := sumsOfRows(rows(t, s)); err != nil || got != want {
		t.Errorf("sums %v, %v, want %v", got, err, want)
	}
	if calls != 3+4+1 {
		t.Errorf("progress told %d times, want for each of 3 large rows, each 100 others, and at the end", calls)
	}
	for at := range calls {
		asked := 0
		got, err := n.Sums(1, func() error {
			if asked++; asked == at+1 {
				return errFault
			}
			return nil
		})
		if !errors.Is(err, errFault) || got != (Sums{}) || asked != at+1 {
			t.Errorf("stopped at %d: %v, %v, asked %d times", at, got, err, asked)
		}
	}
	closeAll(t, n, s, d)
}

// longTable returns a table of several stretches, with rows in the memtable and rows that were deleted there, too.
func longTable(t *testing.T) (*Directory, *Store) {
	t.Helper()
	rng := random(t)
	noise := func() string { // does not pack
		value := make([]byte, 64<<10)
		for i := range value {
			value[i] = byte(rng.Uint32())
		}
		return string(value)
	}
	d := openDirectory(t, vfs.NewMem(), func(o *DirectoryOptions) { o.MemTableBytes = 8 << 20 })
	s := openTable(t, d)
	for round := range 3 {
		for i := range 100 {
			mustPut(t, s, fmt.Sprintf("%03d-%d", i, round), noise())
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, true); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		mustPut(t, s, fmt.Sprintf("%03d-x", 3*i), "not in an sstable")
		if err := commit(s, deleteStep(fmt.Sprintf("%03d-1", 3*i))); err != nil {
			t.Fatal(err)
		}
	}
	mustPut(t, s, "", "the least key there is")
	return d, s
}

// TestSumsByMany count every row once, whatever the number of goroutines.
func TestSumsByMany(t *testing.T) {
	d, s := longTable(t)
	stretches, err := s.stretches()
	if err != nil || len(stretches) < 4 {
		t.Fatalf("%d stretches, %v", len(stretches), err)
	}
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := sumsOfRows(rows(t, s))
	mustPut(t, s, "later", "than the snapshot")
	for _, workers := range []int{0, 1, 2, 3, 100} {
		calls := 0 // unguarded: the race detector sees whether one tells at a time
		got, err := n.Sums(workers, func() error { calls++; return nil })
		if err != nil || got != want || calls < 20 {
			t.Errorf("%d workers: %v, %v, want %v; told %d times", workers, got, err, want, calls)
		}
		for _, at := range []int{1, calls / 2, calls} {
			calls = 0
			got, err := n.Sums(workers, func() error {
				if calls++; calls >= at {
					return errFault
				}
				return nil
			})
			if !errors.Is(err, errFault) || got != (Sums{}) || calls > at+workers {
				t.Errorf("%d workers, stopped at %d: %v, %v, told %d times", workers, at, got, err, calls)
			}
		}
	}
	closeAll(t, n, s, d)
}

// TestSumsEndWithTheirStore, and keep it open no longer.
func TestSumsEndWithTheirStore(t *testing.T) {
	for _, workers := range []int{0, 3} {
		d, s := longTable(t)
		n, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		first := true
		_, err = n.Sums(workers, func() error {
			if first {
				first = false
				go func() { closed <- s.Close() }()
				<-s.handle.stop
			}
			return nil
		})
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%d workers: sums of a store that closes = %v, want ErrClosed", workers, err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if _, err := n.Sums(workers, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("%d workers: sums of a closed store: %v", workers, err)
		}
		closeAll(t, n, d)
	}
}

// TestStretches leave no gap and do not overlap.
func TestStretches(t *testing.T) {
	d, s := longTable(t)
	defer closeAll(t, s, d)
	all, err := s.stretches()
	if err != nil {
		t.Fatal(err)
	}
	if len(all[0].GetStart()) > 0 || len(all[len(all)-1].GetEnd()) > 0 {
		t.Errorf("they do not reach from end to end: %v", all)
	}
	for i, stretch := range all[1:] {
		if string(all[i].GetEnd()) != string(stretch.GetStart()) || slices.Compare(all[i].GetStart(), stretch.GetStart()) >= 0 {
			t.Errorf("%q to %q is followed by %q", all[i].GetStart(), all[i].GetEnd(), stretch.GetStart())
		}
	}
}
