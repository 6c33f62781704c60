package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
)

// linkless makes every link of a hookFS fail as a file system does that makes none.
func linkless(err error) func(fileOp) error {
	return func(o fileOp) error {
		if o.kind == "link" {
			return &os.LinkError{Op: "link", Old: "x", New: o.path, Err: err}
		}
		return nil
	}
}

// assemble copies a cut and what is lent to it into a directory of its own.
func assemble(t testing.TB, fs vfs.FS, staging string, lent map[string]string, to string) {
	t.Helper()
	if err := fs.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	files := maps.Clone(lent)
	names, err := fs.List(staging)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, both := lent[name]; both {
			t.Errorf("%s is staged and lent", name)
		}
		files[name] = fs.PathJoin(staging, name)
	}
	for name, path := range files {
		if err := vfs.Copy(fs, path, fs.PathJoin(to, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// oneSSTable opens a table whose one row is in an sstable.
func oneSSTable(t *testing.T) (*vfs.MemFS, *hookFS, *Directory, *Store) {
	t.Helper()
	mem := vfs.NewMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	return mem, fs, d, s
}

// compactAll compacts the table, so that every sstable that it had is obsolete.
func compactAll(t *testing.T, s *Store) {
	t.Helper()
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
}

func sstables(t testing.TB, fs vfs.FS, dir string) (paths []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			paths = append(paths, fs.PathJoin(dir, name))
		}
	}
	slices.Sort(paths)
	return paths
}

func TestCutWithoutLinksIsWholeAndCopiesNothing(t *testing.T) {
	for _, refusal := range []error{syscall.EPERM, syscall.EACCES, syscall.EXDEV, syscall.EMLINK, syscall.ENOSYS, syscall.EOPNOTSUPP} {
		t.Run(refusal.Error(), func(t *testing.T) {
			mem := vfs.NewMem()
			fs := &hookFS{FS: mem}
			d := openDirectory(t, fs, smallMemtable)
			s := openTable(t, d)
			for round := range 3 {
				for i := range 20 {
					mustPut(t, s, fmt.Sprintf("%d-%d", round, i), strings.Repeat("v", 200))
				}
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			mustPut(t, s, "in the WAL", "alone")
			want := rows(t, s)
			dir := d.Staging("RUN", "t")
			asked := 0
			fs.hooks(func(o fileOp) error {
				if o.kind == "create" && strings.HasPrefix(o.path, dir) && strings.HasSuffix(o.path, ".sst") {
					t.Errorf("%s is copied while commits wait", o.path)
				}
				if o.kind == "link" {
					asked++
				}
				return linkless(refusal)(o)
			}, nil)
			label, err := s.Cut(dir)
			if err != nil {
				t.Fatal(err)
			}
			if asked != 1 {
				t.Errorf("%d links were tried, want 1: each is a call that commits wait for", asked)
			}
			lent := d.Lent(dir)
			if len(lent) == 0 || len(sstables(t, mem, dir)) > 0 {
				t.Fatalf("lent %v, staged %v", lent, sstables(t, mem, dir))
			}
			// Everything that the cut was made of becomes obsolete, also over a close.
			for key := range want {
				mustPut(t, s, key, "changed after the cut")
			}
			compactAll(t, s)
			closeAll(t, s)
			s = openTable(t, d)
			after := rows(t, s)
			assemble(t, mem, dir, lent, "/cut")
			record, got := readCut(t, mem, "/cut")
			if !proto.Equal(record, label) || !maps.Equal(got, want) {
				t.Errorf("the cut holds %d rows at %v, want %d at %v", len(got), record.GetPosition(), len(want), label.GetPosition())
			}
			d.GiveBack(mem.PathDir(dir)) // the run's
			if len(d.Lent(dir)) > 0 {
				t.Errorf("still lent: %v", d.Lent(dir))
			}
			for _, path := range lent {
				if there, _ := Exists(mem, path); there {
					t.Errorf("%s is obsolete and still there", path)
				}
			}
			closeAll(t, s)
			s = openTable(t, d)
			if !maps.Equal(rows(t, s), after) {
				t.Error("the table is not what it was")
			}
			closeAll(t, s, d)
		})
	}
}

// Two cuts use a file until both are done with it; a file that Pebble still needs stays.
func TestLentFileStaysUntilTheLastCutGivesItBack(t *testing.T) {
	mem := vfs.NewMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	// One sstable, which no compaction takes away before the test wants it.
	compactAll(t, s)
	s.db.TestOnlyWaitForCleaning()
	fs.hooks(linkless(syscall.EPERM), nil)
	first, second, third := d.Staging("RUN1", "t"), d.Staging("RUN2", "t"), d.Staging("RUN3", "t")
	cut := func(dir string) {
		if _, err := s.Cut(dir); err != nil {
			t.Fatal(err)
		}
	}
	cut(third)
	before := sstables(t, mem, s.path)
	if len(before) != 1 {
		t.Fatalf("the table has %v", before)
	}
	d.GiveBack(third)
	check := func(when string, want bool) {
		t.Helper()
		if there, err := Exists(mem, before[0]); there != want || err != nil {
			t.Errorf("%s: the sstable is there: %v, %v", when, there, err)
		}
	}
	check("while Pebble needs it", true)
	cut(first)
	cut(second)
	mustPut(t, s, "a", "2")
	compactAll(t, s)
	closeAll(t, s) // waits for Pebble's removals
	check("lent twice", true)
	d.GiveBack(first)
	check("lent once", true)
	d.GiveBack(first)
	check("given back twice by one cut", true)
	d.GiveBack(second)
	check("given back by all", false)
	closeAll(t, d)
}

// The directory may be another process's when a copy that hung comes back.
func TestNothingIsRemovedOnceTheDirectoryIsFree(t *testing.T) {
	mem, fs, d, s := oneSSTable(t)
	fs.hooks(linkless(syscall.EXDEV), nil)
	dir := d.Staging("RUN", "t")
	if _, err := s.Cut(dir); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "a", "2")
	compactAll(t, s)
	closeAll(t, s, d)
	lent := d.Lent(dir)
	removed := false
	fs.hooks(func(o fileOp) error { removed = removed || o.kind == "remove"; return nil }, nil)
	d.GiveBack(dir)
	if removed || len(lent) == 0 {
		t.Errorf("a file was removed of a directory that was given free: %v; lent were %v", removed, lent)
	}
	// What is left over is removed by the next open.
	d = openDirectory(t, mem)
	s = openTable(t, d)
	closeAll(t, s)
	for _, path := range lent {
		if there, _ := Exists(mem, path); there {
			t.Errorf("%s is obsolete and still there", path)
		}
	}
	closeAll(t, d)
}

// A disk that hangs in a removal holds up no cut: commits wait for those.
func TestHungRemovalOfALentFileHoldsUpNoCut(t *testing.T) {
	_, fs, d, s := oneSSTable(t)
	fs.hooks(linkless(syscall.EPERM), nil)
	dir := d.Staging("RUN1", "t")
	if _, err := s.Cut(dir); err != nil {
		t.Fatal(err)
	}
	lent := slices.Collect(maps.Values(d.Lent(dir)))
	mustPut(t, s, "a", "2")
	compactAll(t, s)
	s.db.TestOnlyWaitForCleaning() // Pebble has asked for every removal
	hangs, goOn := make(chan struct{}), make(chan struct{})
	hang := sync.OnceFunc(func() { close(hangs) })
	fs.hooks(func(o fileOp) error {
		if o.kind == "remove" && slices.Contains(lent, o.path) {
			hang()
			<-goOn
			return errFault
		}
		return linkless(syscall.EPERM)(o)
	}, nil)
	done := make(chan struct{})
	go func() { d.GiveBack(dir); close(done) }()
	<-hangs
	if _, err := s.Cut(d.Staging("RUN2", "t")); err != nil {
		t.Error(err)
	}
	mustPut(t, s, "b", "3")
	close(goOn)
	<-done
	closeAll(t, s, d)
}

func TestFailedCutLeavesNothingOnLoan(t *testing.T) {
	mem, fs, d, s := oneSSTable(t)
	for n := 0; ; n++ {
		dir := d.Staging(fmt.Sprint("RUN", n), "t")
		before, fired := failNth(n, errFault, func(o fileOp) bool {
			return o.changes() && o.kind != "removeall" && o.kind != "link" && strings.HasPrefix(o.path, testDir+"/"+stagingDir)
		})
		fs.hooks(func(o fileOp) error { return errors.Join(before(o), linkless(syscall.EPERM)(o)) }, nil)
		_, err := s.Cut(dir)
		fs.hooks(nil, nil)
		if !fired() {
			if err != nil || n < 15 {
				t.Fatalf("after %d operations: %v", n, err)
			}
			break
		}
		if !errors.Is(err, errFault) || len(d.Lent(dir)) > 0 {
			t.Errorf("operation %d: Cut = %v, lent %v", n, err, d.Lent(dir))
		}
		checkNoCut(t, s, mem, dir, fmt.Sprintf("operation %d", n))
	}
	closeAll(t, s, d)
}

// A crash while a cut is on loan, and while it is given back, loses no acknowledged row.
func TestCutWithoutLinksSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 100} {
		w := newCrashSweep(t, vfs.NewCrashableMem(), percent, 8, rng)
		d := openDirectory(t, w.fs, smallMemtable)
		s := openTable(t, d)
		h := history{0: {}}
		w.writeAtRandom(s, rng, 15, h)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		w.fs.hooks(linkless(syscall.EPERM), nil)
		w.restart()
		dir := d.Staging("RUN", "t")
		if _, err := s.Cut(dir); err != nil || len(d.Lent(dir)) == 0 {
			t.Fatal(err, d.Lent(dir))
		}
		w.writeAtRandom(s, rng, 10, h)
		compactAll(t, s)
		closeAll(t, s)
		s = openTable(t, d, func(o *OpenOptions) { o.Create = false })
		d.GiveBack(dir)
		w.writeAtRandom(s, rng, 4, h)
		images := w.end()
		closeAll(t, s, d)
		w.covers(map[string]int{"remove sst": 1})
		for _, c := range images {
			h.check(t, c)
		}
	}
}

// A name that is made anew is another file: what was asked for the old one does not remove it.
func TestNewFileUnderALentNameStays(t *testing.T) {
	mem := vfs.NewMem()
	var l loans
	writeFile(t, mem, "/dir/000005.sst", "old")
	l.lend("/staging/RUN/t", "000005.sst", "/dir/000005.sst")
	z := newFreezer(mem, "/dir", time.Minute, nil)
	z.loans = &l
	if err := z.Remove("/dir/000005.sst"); err != nil {
		t.Fatal(err)
	}
	f, err := z.Create("/dir/000005.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, f)
	if err := l.giveBack(mem, "/staging/RUN"); err != nil {
		t.Error(err)
	}
	if there, err := Exists(mem, "/dir/000005.sst"); !there || err != nil {
		t.Errorf("the new file is there: %v, %v", there, err)
	}
	if l.keeps("/dir/000005.sst", nil) {
		t.Error("kept, and lent to nobody")
	}
}

// Where a link may copy the whole file, none is tried.
func TestCutThatAvoidsLinksTriesNone(t *testing.T) {
	_, fs, d, s := oneSSTable(t)
	d.AvoidLinks()
	fs.hooks(func(o fileOp) error {
		if o.kind == "link" {
			t.Errorf("%s is linked", o.path)
		}
		return nil
	}, nil)
	dir := d.Staging("RUN", "t")
	if _, err := s.Cut(dir); err != nil || len(d.Lent(dir)) == 0 {
		t.Errorf("Cut = %v, lent %v", err, d.Lent(dir))
	}
	closeAll(t, s, d)
}
