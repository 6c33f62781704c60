package store

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// examined is what Examine finds of the ruin, counted.
func (r *ruin) examined(t *testing.T) (*Remains, error) {
	t.Helper()
	before := tree(t, r.disk, r.path)
	d := openDirectory(t, r.disk, func(o *DirectoryOptions) { o.ReadOnly = true })
	defer closeAll(t, d)
	left, err := d.Examine("t", r.lineage, true, nil)
	checkTree(t, before, tree(t, r.disk, r.path))
	return left, err
}

// remainingRows are the rows of the remains.
func remainingRows(t *testing.T, r *Remains) map[string]string {
	t.Helper()
	s, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, s)
	found := make(map[string]string)
	if err := r.rows(s, func(key, value []byte) error {
		found[string(key)] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// damagedWAL is the ruin with another content of its WAL.
func (r *ruin) damagedWAL(t *testing.T, content []byte) *ruin {
	c := r.clone()
	writeFile(t, c.disk, c.wal, string(content))
	return c
}

// Whatever byte of a WAL is damaged, all groups before it are there, and Reached says how far the table had come.
func TestRemainsOfEveryFlippedByteOfAWAL(t *testing.T) {
	r := newRuin(t, false)
	wal := []byte(tree(t, r.disk, r.path)[r.wal])
	for i := range wal {
		flipped := bytes.Clone(wal)
		flipped[i] ^= 0x10
		before := uint64(4) // whole groups before the damage
		for n, end := range r.walSize {
			if end <= int64(i) {
				before = uint64(4 + n)
			}
		}
		c := r.damagedWAL(t, flipped)
		left, err := c.examined(t)
		if err != nil {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if seq := left.Record.GetPosition().GetSeq(); seq < before || !left.Proven || left.Reached != 10 {
			t.Errorf("byte %d flipped: at seq %d of %d, proven %v, reached %d", i, seq, before, left.Proven, left.Reached)
		}
		if got := remainingRows(t, left); len(got) != int(left.Record.GetPosition().GetSeq()) {
			t.Errorf("byte %d flipped: %d rows at seq %d", i, len(got), left.Record.GetPosition().GetSeq())
		}
	}
}

// Where a block of a WAL is damaged and a later one says that it was synced, Pebble reads nothing. Here the groups
// before the damage count all the same. Where there is no mark, the groups behind the damage say how far the table had
// come.
func TestRemainsOfADamagedBlockOfAWAL(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	settle(s)
	fs.hooks(func(o fileOp) error {
		if strings.HasSuffix(o.path, ".sst") && o.changes() {
			return errFault // nothing is flushed
		}
		return nil
	}, nil)
	r := &ruin{lineage: s.Lineage(), path: s.path}
	const groups = 60
	var ends []int64 // of the groups in the first WAL
	for i := range groups {
		mustPut(t, s, fmt.Sprintf("k%03d", i), strings.Repeat("v", 4000))
		var wals []string
		for name := range tree(t, mem, s.path) {
			if strings.HasSuffix(name, ".log") {
				wals = append(wals, name)
			}
		}
		slices.Sort(wals)
		info, err := mem.Stat(wals[0])
		if err != nil {
			t.Fatal(err)
		}
		r.wal = wals[0]
		if n := len(ends); n == 0 || info.Size() > ends[n-1] && len(wals) == 1 {
			ends = append(ends, info.Size())
		}
	}
	r.disk = exactly(t, mem)
	fs.hooks(nil, nil)
	closeAll(t, s, d)
	if err := r.disk.Remove(r.path + markSuffix); err != nil {
		t.Fatal(err)
	}
	content := []byte(tree(t, r.disk, r.path)[r.wal])
	refused := 0
	for offset := 100; offset < min(len(content), walBlock); offset += 3001 {
		damaged := bytes.Clone(content)
		damaged[offset] ^= 2
		c := &ruin{lineage: r.lineage, path: r.path, wal: r.wal, disk: exactly(t, r.disk)}
		writeFile(t, c.disk, c.wal, string(damaged))
		d := openDirectory(t, c.disk)
		if s, err := d.Open("t", OpenOptions{}); err == nil {
			closeAll(t, s)
		} else {
			refused++
		}
		closeAll(t, d)
		before := 0
		for before < len(ends) && ends[before] <= int64(offset) {
			before++
		}
		left, err := c.examined(t)
		if err != nil {
			t.Fatalf("byte %d: %v", offset, err)
		}
		if seq := left.Record.GetPosition().GetSeq(); seq != uint64(before) || !left.Proven || left.Reached != groups || len(left.Damage) == 0 {
			t.Errorf("byte %d: at seq %d of %d, proven %v, reached %d, damage %q", offset, seq, before, left.Proven, left.Reached, left.Damage)
		}
	}
	if refused == 0 {
		t.Error("Pebble reads past each damage")
	}
}

func TestRemainsOfOtherDamage(t *testing.T) {
	r := newRuin(t, false)
	wal := []byte(tree(t, r.disk, r.path)[r.wal])
	third := r.walSize[2] // the end of seq 6
	for name, c := range map[string]struct {
		damage func(*ruin)
		seq    uint64
		whole  bool
	}{
		"nothing":     {func(*ruin) {}, 10, true},
		"WAL is cut":  {func(c *ruin) { writeFile(t, c.disk, c.wal, string(wal[:third+5])) }, 6, false},
		"WAL is gone": {func(c *ruin) { c.remove(t, ".log") }, 4, false},
		"WAL is zeroed from there on": {func(c *ruin) {
			writeFile(t, c.disk, c.wal, string(wal[:third])+strings.Repeat("\x00", len(wal)-int(third)))
		}, 6, false},
		"WAL has a hole": {func(c *ruin) {
			holed := bytes.Clone(wal)
			clear(holed[third:r.walSize[3]])
			writeFile(t, c.disk, c.wal, string(holed))
		}, 6, false},
		"OPTIONS are damaged": {func(c *ruin) { writeFile(t, c.disk, c.options(t), "[Options]\n  comparer=nobody's\n") }, 10, false},
		"OPTIONS are gone":    {func(c *ruin) { c.remove(t, "OPTIONS-") }, 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			c0 := r.clone()
			c.damage(c0)
			left, err := c0.examined(t)
			if err != nil {
				t.Fatal(err)
			}
			if seq := left.Record.GetPosition().GetSeq(); seq != c.seq || !left.Proven || left.Reached != 10 || left.Whole() != c.whole {
				t.Errorf("at seq %d, proven %v, reached %d, whole %v, damage %q", seq, left.Proven, left.Reached, left.Whole(), left.Damage)
			}
			if got := remainingRows(t, left); len(got) != int(c.seq) {
				t.Errorf("%d rows", len(got))
			}
		})
	}
}

// settle waits until nothing writes, or removes what nobody needs any more, in the background.
func settle(s *Store) {
	for s.db.Metrics().Compact.NumInProgress > 0 || s.db.Metrics().Flush.NumInProgress > 0 {
		runtime.Gosched()
	}
	s.db.TestOnlyWaitForCleaning()
}

// layers is a table of 400 rows, seq 1 to 400, in sstables of several levels with many blocks. Part of its first half
// was written over, and the WAL has 10 operations. want are its rows.
func newLayers(t *testing.T) (r *ruin, want map[string]string) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	want = make(map[string]string)
	rng := random(t)
	put1 := func(i int) {
		key, value := fmt.Sprintf("k%04d", i), make([]byte, 400)
		for i := range value {
			value[i] = byte(rng.Uint32())
		}
		want[key] = string(value)
		mustPut(t, s, key, string(value))
	}
	for i := range 200 {
		put1(i)
	}
	if err := s.db.Compact(t.Context(), recordKey, userEnd, false); err != nil {
		t.Fatal(err)
	}
	// From here on nothing is compacted: what is written over stays below, and must not come back where what is above is damaged.
	settle(s)
	d.shared.limiter.mu.Lock()
	d.shared.limiter.most = 0
	d.shared.limiter.mu.Unlock()
	forget := func(start, end int) { // by one operation
		first, behind := fmt.Appendf(nil, "k%04d", start), fmt.Appendf(nil, "k%04d", end)
		if err := commit(s, func(g *Group) error { return g.DeleteRange(first, behind, nil) }); err != nil {
			t.Fatal(err)
		}
		for i := start; i < end; i++ {
			delete(want, fmt.Sprintf("k%04d", i))
		}
	}
	forget(10, 15)
	for i := range 189 {
		put1(100 + i)
		if i == 90 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s.db.TestOnlyWaitForCleaning()
	r = &ruin{lineage: s.Lineage(), path: s.path, older: exactly(t, mem)}
	for i := range 8 {
		put1(i * 20)
	}
	forget(65, 70)
	if err := commit(s, func(g *Group) error { return g.Delete([]byte("k0050")) }); err != nil {
		t.Fatal(err)
	}
	delete(want, "k0050")
	s.db.TestOnlyWaitForCleaning()
	infos, err := s.db.SSTables()
	if err != nil || len(infos[0]) != 2 || len(infos[6]) == 0 {
		t.Fatalf("the table is not in layers: %d and %d files, %v", len(infos[0]), len(infos[6]), err)
	}
	r.disk = exactly(t, mem)
	closeAll(t, s, d)
	return r, want
}

// Wherever an sstable is damaged, each returned row is the newest, and no deleted row is back. Few are missing: those of
// a block, or of a file whose index or footer is gone.
func TestRemainsOfDamagedSSTables(t *testing.T) {
	r, want := newLayers(t)
	rng := random(t)
	fewest, some := len(want), 0
	for name, content := range tree(t, r.disk, r.path) {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		for range 60 {
			damaged := []byte(content)
			damaged[rng.IntN(len(damaged))] ^= 1 << rng.IntN(8)
			checkRemains(t, r, name, damaged, want, &fewest, &some)
		}
		for _, length := range []int{0, len(content) / 2, len(content) - 1} {
			checkRemains(t, r, name, []byte(content)[:length], want, &fewest, &some)
		}
		checkRemains(t, r, name, nil, want, &fewest, &some)
	}
	t.Logf("of %d rows at least %d came back; %d times some were missing", len(want), fewest, some)
	if some == 0 {
		t.Error("no damage cost a row")
	}
}

// checkRemains examines the table with another content of a file, nil for none.
func checkRemains(t *testing.T, r *ruin, name string, content []byte, want map[string]string, fewest, some *int) {
	t.Helper()
	c := &ruin{lineage: r.lineage, path: r.path, disk: exactly(t, r.disk)}
	if content == nil {
		if err := c.disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	} else {
		writeFile(t, c.disk, name, string(content))
	}
	left, err := c.examined(t)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	got := remainingRows(t, left)
	if int(left.Sums.Count) != len(got) || left.Whole() {
		t.Errorf("%s: counted %d rows of %d, whole %v", name, left.Sums.Count, len(got), left.Whole())
	}
	inHole := func(key string) bool {
		return slices.ContainsFunc(left.Holes, func(h Hole) bool {
			return bytes.Compare(h.Start, []byte(key)) <= 0 && (len(h.End) == 0 || key < string(h.End))
		})
	}
	for key, value := range got {
		if newest, there := want[key]; !there || newest != value {
			t.Errorf("%s: row %s is out of date, or was deleted", name, key)
		}
	}
	for key := range want {
		if _, found := got[key]; !found && !inHole(key) {
			t.Errorf("%s: row %s is missing, and in no hole of %v", name, key, left.Holes)
		}
	}
	if left.Proven != (len(got) == len(want)) {
		t.Errorf("%s: proven %v with %d rows of %d", name, left.Proven, len(got), len(want))
	}
	*fewest = min(*fewest, len(got))
	if len(got) < len(want) {
		*some++
	}
}

// What a rebuild makes is a table with the rows that were left.
func TestRebuild(t *testing.T) {
	r, _ := newLayers(t)
	largest, content := "", ""
	for name, c := range tree(t, r.disk, r.path) {
		if strings.HasSuffix(name, ".sst") && len(c) > len(content) {
			largest, content = name, c
		}
	}
	damaged := []byte(content)
	damaged[len(damaged)/2] ^= 4
	writeFile(t, r.disk, largest, string(damaged))
	d := openDirectory(t, r.disk)
	defer closeAll(t, d)
	left, err := d.Examine("t", r.lineage, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(left.Holes) == 0 || left.Proven {
		t.Fatalf("holes %v, proven %v", left.Holes, left.Proven)
	}
	making, err := d.StartRestore("t")
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Rebuild(d.FS(), making.Path(), func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := making.Finish(nil); err != nil {
		t.Fatal(err)
	}
	if err := making.Serve(UndoRestored, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	s := openTable(t, d)
	if got, want := rows(t, s), remainingRows(t, left); len(got) != len(want) || len(got) < 270 {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
	if !isAtCut(s.Record()) || s.Record().GetParent().GetSeq() != 400 {
		t.Errorf("record %v", s.Record())
	}
	closeAll(t, s)
}

// Without a MANIFEST there is nothing that says which sstables count.
func TestRemainsWithoutManifest(t *testing.T) {
	r := newRuin(t, true)
	r.remove(t, "MANIFEST-")
	if _, err := r.examined(t); !errors.Is(err, messages.ErrDataLoss) {
		t.Errorf("Examine = %v, want ErrDataLoss", err)
	}
}
