package store

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// knownUsage asks until Pebble has loaded its statistics.
func knownUsage(t *testing.T, s *Store) (Usage, float64) {
	t.Helper()
	for range 1 << 22 {
		u, err := s.Usage()
		if err != nil {
			t.Fatal(err)
		}
		if u.Fragmentation != nil {
			return u, *u.Fragmentation
		}
		runtime.Gosched()
	}
	t.Fatal("fragmentation stays unknown")
	return Usage{}, 0
}

func TestFragmentation(t *testing.T) {
	const n = 200
	for _, c := range []struct {
		name   string
		passes int // each writes every key and flushes
		clear  bool
		want   float64
	}{
		{"nothing", 0, false, 0},
		{"insert only", 1, false, 0},
		{"overwritten", 2, false, 0.5},
		{"overwritten twice", 3, false, 2. / 3},
		{"all deleted", 1, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewMem()
			d := openDirectory(t, mem, func(o *DirectoryOptions) { o.MemTableBytes, o.Compactions = 1<<20, 1 })
			// The only slot is taken: no compaction tidies up what is to be measured.
			slot := register(d.shared.limiter, willing{})
			if ok, _ := slot.TrySchedule(); !ok {
				t.Fatal("no slot")
			}
			s := openTable(t, d)
			for pass := range c.passes {
				err := commit(s, func(g *Group) error {
					for i := range n {
						value := strings.Repeat(string(rune('a'+pass)), 100) + fmt.Sprint(i*7919)
						if err := g.Put(fmt.Appendf(nil, "%06d", i), []byte(value)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if c.clear { // the range is in the memtable: the sstable still has it all
				if err := commit(s, rangeStep("0", "1")); err != nil {
					t.Fatal(err)
				}
			}
			usage, got := knownUsage(t, s)
			// What the open replaced counts as dead until Pebble has removed it.
			for range 10_000 {
				if math.Abs(got-c.want) <= 0.05 {
					break
				}
				runtime.Gosched()
				usage, got = knownUsage(t, s)
			}
			if math.Abs(got-c.want) > 0.05 {
				t.Errorf("fragmentation %.3f, want %.3f", got, c.want)
			}
			if c.passes > 0 && usage.DiskBytes == 0 {
				t.Error("a table with rows has 0 B on disk")
			}
			closeAll(t, s)
			slot.Unregister()
			slot.Done()
			closeAll(t, d)
			// A read-only open knows it without waiting, and about the same.
			checkReadOnlyUsage(t, mem, got, c.clear)
		})
	}
}

func checkReadOnlyUsage(t *testing.T, fs vfs.FS, want float64, cleared bool) {
	t.Helper()
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.ReadOnly = true })
	s := openTable(t, d)
	u, err := s.Usage()
	if err != nil || u.Fragmentation == nil {
		t.Fatalf("read-only usage %v, %v", u, err)
	}
	if !cleared && math.Abs(*u.Fragmentation-want) > 0.1 {
		t.Errorf("read-only fragmentation %.3f, want %.3f", *u.Fragmentation, want)
	}
	if f := *u.Fragmentation; f < 0 || f > 1 {
		t.Errorf("fragmentation %f", f)
	}
	closeAll(t, s, d)
}

func TestFragmentationIsAShare(t *testing.T) {
	rng := random(t)
	for range 100_000 {
		pick := func() uint64 {
			if rng.IntN(4) == 0 {
				return 0
			}
			return rng.Uint64N(1 << rng.IntN(50))
		}
		live, dead, raw, wanted := pick(), pick(), pick(), pick()
		f := fragmentation(live, dead, raw, wanted)
		if !(f >= 0 && f <= 1) {
			t.Fatalf("fragmentation(%d, %d, %d, %d) = %f", live, dead, raw, wanted, f)
		}
	}
	for _, c := range []struct {
		live, dead, raw, wanted uint64
		want                    float64
	}{
		{0, 0, 0, 0, 0},        // no sstable
		{100, 0, 200, 200, 0},  // all of it live
		{100, 0, 200, 50, .75}, // three of four versions dead
		{100, 100, 200, 200, .5},
		{0, 100, 0, 0, 1},     // waits for its removal
		{100, 0, 200, 900, 0}, // more in the memtable than on disk
	} {
		if got := fragmentation(c.live, c.dead, c.raw, c.wanted); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("fragmentation(%d, %d, %d, %d) = %f, want %f", c.live, c.dead, c.raw, c.wanted, got, c.want)
		}
	}
}
