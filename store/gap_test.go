package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// exactly is a copy of what lies on a disk that is at rest: unlike killed, without the names that were removed.
func exactly(t testing.TB, mem *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	left := vfs.NewCrashableMem()
	if _, err := vfs.Clone(mem, left, "/", "/", vfs.CloneSync); err != nil {
		t.Fatal(err)
	}
	return left
}

// newFlushedRuin is a table of 20 rows, in groups of one: some in sstables whose WALs are gone, and, unless it was closed,
// the last of them in a WAL.
func newFlushedRuin(t *testing.T, clean bool) *ruin {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var s *Store
	var d *Directory
	row := 0
	put1 := func() {
		row++
		mustPut(t, s, fmt.Sprintf("k%d", row), strings.Repeat("v", 50))
	}
	open := func(rows int) {
		d = openDirectory(t, mem)
		s = openTable(t, d)
		for range rows {
			put1()
		}
	}
	open(5)
	if err := s.db.Compact(t.Context(), recordKey, userEnd, false); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		put1()
	}
	disk := exactly(t, mem)
	closeAll(t, s, d)
	mem = disk // killed: the next open flushes what it replays, and removes the WAL
	open(10)
	s.db.TestOnlyWaitForCleaning()
	r := &ruin{lineage: s.Lineage(), path: s.path}
	if !clean {
		r.disk = exactly(t, mem)
	}
	closeAll(t, s, d)
	if clean {
		r.disk = exactly(t, mem)
	}
	return r
}

// Whatever byte of the MANIFEST is damaged, the table is refused or nothing is missing: Pebble takes much of it for the
// end of the MANIFEST, forgets the sstables that are named behind, and has removed their WALs.
func TestEveryFlippedByteOfAManifestIsSeen(t *testing.T) {
	for _, clean := range []bool{false, true} {
		t.Run(fmt.Sprintf("clean %v", clean), func(t *testing.T) {
			r := newFlushedRuin(t, clean)
			path := ""
			for name := range tree(t, r.disk, r.path) {
				if strings.HasPrefix(r.disk.PathBase(name), "MANIFEST-") && name > path {
					path = name
				}
			}
			content := tree(t, r.disk, r.path)[path]
			seen, refused := 0, 0
			for i := range content {
				for _, mask := range []byte{0x01, 0x10, 0xff} {
					damaged := []byte(content)
					damaged[i] ^= mask
					disk := exactly(t, r.disk)
					writeFile(t, disk, path, string(damaged))
					d := openDirectory(t, disk)
					s, err := d.Open("t", OpenOptions{})
					switch {
					case err == nil:
						if got := rows(t, s); len(got) != 20 {
							t.Errorf("byte %d of %d, flipped by %x: served %d rows of 20", i, len(content), mask, len(got))
						}
						checkRecord(t, s.Record(), rows(t, s))
						seen++
						closeAll(t, s)
					case !errors.Is(err, messages.ErrDataLoss):
						t.Errorf("byte %d, flipped by %x: %v, want ErrDataLoss", i, mask, err)
					default:
						refused++
					}
					closeAll(t, d)
				}
			}
			t.Logf("MANIFEST of %d B: served %d times, refused %d times", len(content), seen, refused)
		})
	}
}

// TestMissingWALIsRefused: of two WALs that are to be replayed, either is missed.
func TestMissingWALIsRefused(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.MemTableBytes = 16 << 10 })
	s := openTable(t, d)
	fs.hooks(func(o fileOp) error {
		if strings.HasSuffix(o.path, ".sst") && o.changes() {
			return errFault // nothing is flushed
		}
		return nil
	}, nil)
	var second uint64 // the first seq in the second WAL
	row := 0
	for wals := 0; wals < 2 || row < 40; row++ {
		mustPut(t, s, fmt.Sprintf("k%d", row), strings.Repeat("v", 400))
		now := 0
		names, err := mem.List(s.path) // no contents: the database removes files meanwhile
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".log") {
				now++
			}
		}
		if now == 2 && wals < 2 {
			second = s.Acked()
		}
		wals = max(wals, now)
	}
	last := s.Acked()
	r := &ruin{lineage: s.Lineage(), path: s.path, disk: exactly(t, mem)}
	fs.hooks(nil, nil)
	closeAll(t, s, d)

	var wals []string
	for name := range tree(t, r.disk, r.path) {
		if strings.HasSuffix(name, ".log") {
			wals = append(wals, strings.TrimPrefix(name, r.path))
		}
	}
	slices.Sort(wals)
	for i, want := range []LossError{
		{r.lineage, 0, second - 1, "write-ahead log"},
		{r.lineage, second - 1, last, "high-water mark"},
	} {
		c := &ruin{lineage: r.lineage, path: r.path, disk: exactly(t, r.disk)}
		c.remove(t, wals[len(wals)-2+i])
		checkLoss(t, c, OpenOptions{}, want)
	}
	d = openDirectory(t, r.disk)
	s = openTable(t, d)
	if got := len(rows(t, s)); got != row {
		t.Errorf("with both WALs there are %d rows, want %d", got, row)
	}
	closeAll(t, s, d)
}

// TestNoGapWhereNothingIsMissing: whatever a group is, and wherever the process or the machine ends, what is left is no gap.
func TestNoGapWhereNothingIsMissing(t *testing.T) {
	mem := vfs.NewCrashableMem()
	rng := random(t)
	for life := range 6 {
		d := openDirectory(t, mem)
		s := openTable(t, d, func(o *OpenOptions) {
			if life%2 == 1 {
				o.Accounting = atCut
			}
		})
		if s.Recounts() {
			if err := s.Recount(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 30 {
			err := commit(s, func(g *Group) error {
				switch {
				case i == 10:
					g.SetSchemaVersion(uint64(life + 1))
				case i%9 == 8:
					return g.DeleteRange([]byte("k1"), []byte("k2"), nil)
				case i%7 == 6 && !g.Empty():
					return nil // the record alone
				}
				for range 1 + rng.IntN(3) {
					if err := g.Put(fmt.Appendf(nil, "k%d", rng.IntN(40)), make([]byte, rng.IntN(3000))); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if rng.IntN(10) == 0 {
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if rng.IntN(4) == 0 {
				checkNoGap(t, killed(mem), s.Acked())
				checkNoGap(t, crash(mem, 0, nil), s.Acked())
				checkNoGap(t, crash(mem, 50, rng), s.Acked())
			}
		}
		left := killed(mem)
		closeAll(t, s, d)
		if life < 4 {
			mem = left
		}
	}
}

func checkNoGap(t *testing.T, disk *vfs.MemFS, acked uint64) {
	t.Helper()
	d := openDirectory(t, disk)
	s, err := d.Open("t", OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Acked() < acked {
		t.Errorf("seq is %d, %d was acknowledged", s.Acked(), acked)
	}
	if !isAtCut(s.Record()) {
		checkRecord(t, s.Record(), rows(t, s))
	}
	closeAll(t, s, d)
}
