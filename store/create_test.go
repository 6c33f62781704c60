package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// birth is a crash image, and what had been promised when it was taken.
type birth struct {
	op      fileOp
	disk    *vfs.MemFS
	created bool
	acked   int64
}

// births creates a table and commits three groups, and crashes after each change of the disk.
func births(t *testing.T, percent int) []birth {
	t.Helper()
	rng := random(t)
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	var mu sync.Mutex
	var images []birth
	var created atomic.Bool
	var acked atomic.Int64
	d := openDirectory(t, fs)
	fs.hooks(nil, func(o fileOp) {
		if !o.changes() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		// What was promised is read before the crash: later promises need later changes.
		b := birth{op: o, created: created.Load(), acked: acked.Load()}
		b.disk = crash(mem, percent, rng)
		images = append(images, b)
	})
	s := openTable(t, d)
	created.Store(true)
	for i := range 3 {
		mustPut(t, s, fmt.Sprint(i), "x")
		acked.Add(1)
	}
	closeAll(t, s)
	fs.hooks(nil, nil)
	closeAll(t, d)
	return images
}

func TestCreationSurvivesACrashAnywhere(t *testing.T) {
	rng := random(t)
	for _, percent := range []int{0, 100, 1 + rng.IntN(99)} {
		images := births(t, percent)
		if len(images) < 40 {
			t.Fatalf("only %d changes of the disk", len(images))
		}
		for i, b := range images {
			at := fmt.Sprintf("%d %% of the unsynced, crash %d of %d, after %s of %s", percent, i, len(images), b.op.kind, b.op.path)
			d := openDirectory(t, b.disk)
			s, err := d.Open("t", OpenOptions{Create: !b.created})
			if err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			got := rows(t, s)
			checkRecord(t, s.Record(), got)
			if seq := s.Record().GetPosition().GetSeq(); int64(seq) < b.acked || int(seq) != len(got) {
				t.Fatalf("%s: %d acknowledged, seq %d, rows %v", at, b.acked, seq, got)
			}
			if lineages, err := d.Lineages("t"); err != nil || len(lineages) != 1 {
				t.Fatalf("%s: lineages %v, %v", at, lineages, err)
			}
			mustPut(t, s, "after", "the crash")
			closeAll(t, s)
			// And the table that came out of it is a sound one.
			s, err = d.Open("t", OpenOptions{})
			if err != nil || len(rows(t, s)) != len(got)+1 {
				t.Fatalf("%s: open again: %v", at, err)
			}
			closeAll(t, s, d)
		}
	}
}

func TestUnfinishedCreationIsMissingWithoutCreate(t *testing.T) {
	for i, b := range births(t, 100) {
		if b.created {
			break
		}
		d := openDirectory(t, b.disk, func(o *DirectoryOptions) { o.ReadOnly = true })
		before := tree(t, b.disk, testDir)
		s, err := d.Open("t", OpenOptions{})
		switch {
		case err == nil: // current had been written
			closeAll(t, s)
		case !errors.Is(err, ErrMissing):
			t.Errorf("crash %d: %v", i, err)
		}
		checkTree(t, before, tree(t, b.disk, testDir))
		closeAll(t, d)
	}
}

func TestCreationGivesUpCleanlyAtEveryFailure(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		fs := &hookFS{FS: mem}
		d := openDirectory(t, fs)
		before, fired := failNth(n, errFault, func(o fileOp) bool { return o.changes() && o.kind != "remove" })
		fs.hooks(before, nil)
		s, err := d.Open("t", OpenOptions{Create: true})
		fs.hooks(nil, nil)
		if !fired() {
			if err != nil || n < 40 {
				t.Fatalf("after %d operations: %v", n, err)
			}
			closeAll(t, s, d)
			return
		}
		if err == nil {
			// A fault that Pebble can do without; or one that froze the store at its first breath.
			mustCloseOrFrozen(t, s)
		} else if !errors.Is(err, errFault) && !errors.Is(err, ErrFrozen) {
			t.Errorf("operation %d failed: %v", n, err)
		}
		if left := registered(d); left != 0 {
			t.Errorf("operation %d failed: %d databases stay registered for compactions", n, left)
		}
		s = openTable(t, d)
		mustPut(t, s, "a", "1")
		closeAll(t, s, d)
	}
}

// registered is how many databases the directory's compactions may be granted to.
func registered(d *Directory) int {
	d.shared.limiter.mu.Lock()
	defer d.shared.limiter.mu.Unlock()
	return len(d.shared.limiter.schedulers)
}

// mustCloseOrFrozen closes a store that may have met a fault.
func mustCloseOrFrozen(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil && !s.Frozen() && !errors.Is(err, errFault) {
		t.Fatal(err)
	}
}

func TestLostCurrentIsAnUnfinishedCreationOnlyWithoutData(t *testing.T) {
	current := testDir + "/tables/t/" + currentFile
	lose := func(t *testing.T, fs vfs.FS) {
		t.Helper()
		if err := fs.Remove(current); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("nothing was written", func(t *testing.T) {
		mem := vfs.NewMem()
		d := openDirectory(t, mem)
		s := openTable(t, d)
		first := s.Lineage()
		closeAll(t, s)
		lose(t, mem)
		s = openTable(t, d)
		if s.Lineage() == first {
			t.Error("the unfinished lineage serves")
		}
		names, err := mem.List(testDir + "/tables/t")
		if err != nil || strings.Contains(fmt.Sprint(names), first) {
			t.Errorf("left behind: %v, %v", names, err)
		}
		closeAll(t, s, d)
	})

	for name, damage := range map[string]func(t *testing.T, fs vfs.FS, path string){
		"closed cleanly": func(*testing.T, vfs.FS, string) {},
		"without its mark": func(t *testing.T, fs vfs.FS, path string) {
			if err := fs.Remove(path + markSuffix); err != nil {
				t.Fatal(err)
			}
		},
		"without its mark and MANIFEST": func(t *testing.T, fs vfs.FS, path string) {
			for name := range tree(t, fs, path) {
				if strings.Contains(name, "MANIFEST-") {
					if err := fs.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := fs.Remove(path + markSuffix); err != nil {
				t.Fatal(err)
			}
		},
		"with its mark alone": func(t *testing.T, fs vfs.FS, path string) {
			for name := range tree(t, fs, path) {
				if name != path {
					if err := fs.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			d := openDirectory(t, mem)
			s := openTable(t, d)
			mustPut(t, s, "a", "1")
			closeAll(t, s)
			lose(t, mem)
			damage(t, mem, s.path)
			checkOpenRefused(t, d, OpenOptions{Create: true}, func(err error) {
				if !errors.Is(err, messages.ErrDataLoss) || !strings.Contains(err.Error(), s.Lineage()) {
					t.Errorf("Open = %v, want ErrDataLoss that names %s", err, s.Lineage())
				}
			})
			closeAll(t, d)
		})
	}
}

// An error that does not tell what the lineage holds must not be taken for a sign that it is empty.
func TestUnreadableLineageWithoutCurrentIsKept(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	mustPut(t, s, "a", "1") // in the WAL alone, which is small
	image := killed(mem)
	closeAll(t, s, d)
	for _, name := range []string{testDir + "/tables/t/" + currentFile, s.path + markSuffix} {
		if err := image.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	fs := &hookFS{FS: image}
	d = openDirectory(t, fs)
	before := tree(t, image, testDir)
	for n := 0; ; n++ {
		hook, fired := failNth(n, errFault, func(o fileOp) bool { return strings.HasPrefix(o.path, s.path) })
		fs.hooks(hook, nil)
		_, err := d.Open("t", OpenOptions{Create: true})
		fs.hooks(nil, nil)
		if err == nil {
			t.Fatalf("operation %d failed: a new table was made in place of the old one", n)
		}
		checkTree(t, before, tree(t, image, testDir))
		if t.Failed() {
			t.Fatalf("operation %d failed: %v", n, err)
		}
		if !fired() {
			break
		}
	}
	closeAll(t, d)
}
