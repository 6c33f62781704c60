package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// vitalFaults are the operations whose first failure freezes the store. Each takes the lineage's directory.
var vitalFaults = map[string]func(dir string) func(fileOp) bool{
	"WAL write": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isWAL() && o.kind == "write" && inside(o, dir) }
	},
	"WAL sync": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isWAL() && o.kind == "sync" && inside(o, dir) }
	},
	"WAL create": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isWAL() && o.kind == "create" && inside(o, dir) }
	},
	"WAL reuse": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isWAL() && o.kind == "reuse" && inside(o, dir) }
	},
	"WAL stat": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isWAL() && o.kind == "filestat" && inside(o, dir) }
	},
	"WAL close": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isWAL() && o.kind == "close" && inside(o, dir) }
	},
	"MANIFEST write": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isManifest() && o.kind == "write" && inside(o, dir) }
	},
	"MANIFEST sync": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.isManifest() && o.kind == "sync" && inside(o, dir) }
	},
	"directory sync": func(dir string) func(fileOp) bool {
		return func(o fileOp) bool { return o.path == dir && o.kind == "sync" }
	},
}

func inside(o fileOp, dir string) bool { return strings.HasPrefix(o.path, dir+"/") }

// lasting makes a one-time fault last from its first time on.
func lasting(before func(fileOp) error, fired func() bool, matches func(fileOp) bool) func(fileOp) error {
	return func(o fileOp) error {
		if err := before(o); err != nil || !matches(o) || !fired() {
			return err
		}
		return errFault
	}
}

// pipeline commits groups from this goroutine while another waits for them, as a cell does, until n were
// applied. It returns the rows whose Wait returned nil, and the errors of the others.
func pipeline(t testing.TB, s *Store, rng *rand.Rand, n int) (acked map[string]string, errs []error) {
	t.Helper()
	type pending struct {
		c          *Commit
		key, value string
	}
	acked = map[string]string{}
	queue := make(chan pending, 8)
	var acker sync.WaitGroup
	acker.Go(func() {
		for p := range queue {
			if err := p.c.Wait(); err != nil {
				errs = append(errs, err)
			} else if len(errs) > 0 {
				t.Error("a group was acknowledged after one that was not")
			} else {
				acked[p.key] = p.value
			}
		}
	})
	for i := range n {
		p := pending{key: fmt.Sprintf("k%04d", i), value: strings.Repeat(string(rune('a'+i%26)), 500+rng.IntN(1000))}
		g, err := s.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Put([]byte(p.key), []byte(p.value)); err != nil {
			t.Fatal(err)
		}
		if p.c, err = s.Apply(g); err != nil {
			t.Fatalf("group %d: %v", i, err)
		}
		queue <- p
	}
	close(queue)
	acker.Wait()
	return acked, errs
}

// checkKept reopens disk and fails the test unless every acknowledged row is there, and the sums are right.
func checkKept(t testing.TB, disk vfs.FS, acked map[string]string) {
	t.Helper()
	d := openDirectory(t, disk)
	s, err := d.Open("t", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := rows(t, s)
	for key, value := range acked {
		if got[key] != value {
			t.Errorf("acknowledged row %s is %d B long after the reopen, was %d", key, len(got[key]), len(value))
		}
	}
	if seq := s.Record().GetPosition().GetSeq(); int(seq) < len(acked) || len(got) != int(seq) {
		t.Errorf("seq %d after the reopen, %d rows, %d acknowledged", seq, len(got), len(acked))
	}
	checkRecord(t, s.Record(), got)
	mustPut(t, s, "after", "the fault")
	closeAll(t, s, d)
}

func TestFailedVitalOperationFreezes(t *testing.T) {
	for name, kind := range vitalFaults {
		t.Run(name, func(t *testing.T) {
			rng := random(t)
			for n, misses := 0, 0; n < 30 && misses == 0; n += 1 + rng.IntN(4+2*n) {
				for _, last := range []bool{false, true} {
					if !freezeOnce(t, rng, kind, n, last) {
						misses++
						if n == 0 {
							t.Fatal("the operation never happened")
						}
					}
				}
			}
		})
	}
}

// freezeOnce fails the nth operation of a kind, once or from then on. It returns false when there was none.
func freezeOnce(t *testing.T, rng *rand.Rand, kind func(string) func(fileOp) bool, n int, last bool) bool {
	t.Helper()
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.MemTableBytes = 32 << 10 })
	told := make(chan error, 8)
	s := openTable(t, d, func(o *OpenOptions) { o.OnFreeze = func(cause error) { told <- cause } })
	matches := kind(s.path)
	before, fired := failNth(n, errFault, matches)
	if last {
		before = lasting(before, fired, matches)
	}
	fs.hooks(before, nil)
	at := fmt.Sprintf("operation %d, lasting %v", n, last)

	var acked map[string]string
	within(t, 30*time.Second, at, func() {
		var errs []error
		acked, errs = pipeline(t, s, rng, 120)
		for _, err := range errs {
			if !errors.Is(err, ErrFrozen) && !errors.Is(err, errFault) {
				t.Errorf("%s: Wait = %v", at, err)
			}
		}
		if fired() != s.Frozen() {
			t.Errorf("%s: failed %v, frozen %v", at, fired(), s.Frozen())
		}
		if s.Frozen() {
			checkFrozen(t, s, mem, d)
			if cause := <-told; !errors.Is(cause, errFault) {
				t.Errorf("%s: OnFreeze told %v", at, cause)
			}
		}
		// Close itself may meet the fault; then only it may say so.
		if err := s.Close(); err != nil && !errors.Is(err, errFault) {
			t.Errorf("%s: Close = %v", at, err)
		}
		if s.Acked() != uint64(len(acked)) {
			t.Errorf("%s: acked %d, %d Waits returned nil", at, s.Acked(), len(acked))
		}
	})
	if v, ok, err := readMark(mem, s.path+markSuffix); err != nil || !ok || s.Frozen() && v.clean {
		t.Errorf("%s: mark %+v, %v, %v after a Close, frozen %v", at, v, ok, err, s.Frozen())
	}
	fs.hooks(nil, nil)
	closeAll(t, d)
	lost := crash(mem, rng.IntN(101), rng)
	checkKept(t, mem, acked)
	checkKept(t, lost, acked)
	return fired()
}

// checkFrozen checks that a frozen store acknowledges nothing, changes nothing on disk, and still reads.
func checkFrozen(t *testing.T, s *Store, mem vfs.FS, d *Directory) {
	t.Helper()
	if !errors.Is(s.FrozenBy(), errFault) {
		t.Errorf("frozen by %v", s.FrozenBy())
	}
	work := func(round int) {
		t.Helper()
		for i := range 40 { // more than a memtable: the WAL is rotated, and flushed, in memory
			key := fmt.Sprintf("frozen%d-%d", round, i)
			if err := put(s, key, strings.Repeat("x", 2000)); !errors.Is(err, ErrFrozen) {
				t.Errorf("put while frozen = %v", err)
			}
			if _, _, err := s.Get([]byte(key)); err != nil && !errors.Is(err, ErrFrozen) {
				t.Errorf("get while frozen = %v", err)
			}
		}
		_ = s.Flush()
	}
	// What was under way when the store froze may still reach the disk, as in a crash a moment later; that is over
	// when this much was done since.
	work(0)
	table := s.dir.tablePath("t")
	before := tree(t, mem, table)
	for range 100 {
		runtime.Gosched()
		settled := tree(t, mem, table)
		if maps.Equal(before, settled) {
			break
		}
		before = settled
	}
	work(1)
	staging := d.Staging("RUN", "t")
	if _, err := s.Cut(staging); !errors.Is(err, ErrFrozen) {
		t.Errorf("Cut while frozen = %v", err)
	}
	checkTree(t, before, tree(t, mem, table))
	if names, err := mem.List(s.dir.path + "/" + stagingDir); err != nil || len(names) > 0 {
		t.Errorf("the Cut left %v, %v", names, err)
	}
}

// Pebble repeats a flush that failed once; nothing is lost, so nothing needs to freeze.
func TestFailedSSTableDoesNotFreeze(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync"} {
		t.Run(kind, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			fs := &hookFS{FS: mem}
			d := openDirectory(t, fs, func(o *DirectoryOptions) { o.MemTableBytes = 32 << 10 })
			s := openTable(t, d)
			before, fired := failNth(1, errFault, func(o fileOp) bool {
				return o.kind == kind && strings.HasSuffix(o.path, ".sst")
			})
			fs.hooks(before, nil)
			acked, errs := pipeline(t, s, random(t), 250)
			if !fired() || s.Frozen() || len(errs) > 0 || len(acked) != 250 {
				t.Errorf("failed %v, frozen %v, errors %v, %d acknowledged", fired(), s.Frozen(), errs, len(acked))
			}
			closeAll(t, s, d)
			checkKept(t, mem, acked)
		})
	}
}

func TestFaultDuringOpenLosesNothing(t *testing.T) {
	rng := random(t)
	origin := vfs.NewCrashableMem()
	d := openDirectory(t, origin, func(o *DirectoryOptions) { o.MemTableBytes = 32 << 10 })
	s := openTable(t, d)
	acked, errs := pipeline(t, s, rng, 100)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	image := killed(origin)
	closeAll(t, s, d)
	for n := 0; ; n++ {
		mem := killed(image)
		fs := &hookFS{FS: mem}
		d := openDirectory(t, fs)
		before, fired := failNth(n, errFault, func(o fileOp) bool {
			return (o.changes() || o.kind == "filestat") && inside(o, s.path)
		})
		fs.hooks(before, nil)
		within(t, 30*time.Second, fmt.Sprintf("open with fault %d", n), func() {
			s, err := d.Open("t", OpenOptions{})
			if err == nil {
				_ = put(s, "k9999", "x")
				err = s.Close()
			}
			if err != nil && !errors.Is(err, errFault) && !errors.Is(err, ErrFrozen) {
				t.Errorf("fault %d: %v", n, err)
			}
		})
		fs.hooks(nil, nil)
		if left := registered(d); left != 0 {
			t.Errorf("fault %d: %d databases stay registered for compactions", n, left)
		}
		closeAll(t, d)
		lost := crash(mem, rng.IntN(101), rng)
		checkKept(t, mem, acked)
		checkKept(t, lost, acked)
		if !fired() {
			if n < 30 {
				t.Fatalf("only %d operations", n)
			}
			return
		}
	}
}
