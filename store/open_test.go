package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/messages"
)

// countLooks counts how often the MANIFEST is read: once to see whether it is whole, and once whenever the database is
// opened for reading or writing.
func countLooks(fs *hookFS) *atomic.Int64 {
	var looks atomic.Int64
	fs.hooks(nil, func(o fileOp) {
		if o.kind == "open" && o.isManifest() {
			looks.Add(1)
		}
	})
	return &looks
}

func TestOnlyAnUncleanStopIsLookedInto(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	mustPut(t, s, "b", "2")
	unclean := killed(mem)
	closeAll(t, s, d)
	for _, c := range []struct {
		name string
		disk *vfs.MemFS
		want int64
	}{
		{"clean", mem, 2},
		{"clean again, nothing was written", mem, 2},
		{"killed", unclean, 4}, // with its WALs, without, and for writing
		{"clean after killed", unclean, 2},
	} {
		fs := &hookFS{FS: c.disk}
		looks := countLooks(fs)
		d := openDirectory(t, fs)
		s := openTable(t, d)
		if n := looks.Load(); n != c.want {
			t.Errorf("%s: MANIFEST read %d times, want %d", c.name, n, c.want)
		}
		if got := rows(t, s); fmt.Sprint(got) != "map[a:1 b:2]" || s.Acked() != 2 {
			t.Errorf("%s: rows %v, acked %d", c.name, got, s.Acked())
		}
		checkRecord(t, s.Record(), rows(t, s))
		closeAll(t, s, d)
	}
}

func TestIncarnationNeverRepeatsAPosition(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	position := func(s *Store) string { return protojson.Format(s.Record().GetPosition()) }
	if p := s.Record().GetPosition(); p.GetIncarnation() != 0 || p.GetSeq() != 0 {
		t.Errorf("a new table is at %v", p)
	}
	mustPut(t, s, "a", "1")
	first := position(s)
	image := crash(mem, 0, nil)
	mustPut(t, s, "a", "2")
	if got := s.Record().GetPosition().GetIncarnation(); got != 1 {
		t.Errorf("the second group of an open has incarnation %d, want 1", got)
	}
	lost := position(s)
	closeAll(t, s, d)

	d = openDirectory(t, image)
	s = openTable(t, d)
	if got := position(s); got != first {
		t.Errorf("an open alone changed the position from %s to %s", first, got)
	}
	mustPut(t, s, "a", "3")
	if got := position(s); got == lost || s.Record().GetPosition().GetIncarnation() != 2 {
		t.Errorf("position %s after the crash took back %s", got, lost)
	}
	closeAll(t, s, d)
}

func TestReadOnlyChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, fs vfs.FS, parent string) {
		in := func(o *DirectoryOptions) { o.Path = fs.PathJoin(parent, "dir") }
		d := openDirectory(t, fs, in)
		s := openTable(t, d)
		mustPut(t, s, "a", "1")
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "b", "2")
		closeAll(t, s, d)
		// A mark that does not say clean, as after a crash.
		unclean, err := markValue{lineage: s.Lineage(), seq: 2, turn: 9}.encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range [][]byte{nil, unclean} {
			if mark != nil {
				writeFile(t, fs, s.path+markSuffix, string(mark))
			}
			before := tree(t, fs, parent)
			d = openDirectory(t, fs, in, func(o *DirectoryOptions) { o.ReadOnly = true })
			s = openTable(t, d)
			if got := rows(t, s); fmt.Sprint(got) != "map[a:1 b:2]" {
				t.Errorf("rows %v", got)
			}
			if _, err := s.Begin(); err == nil {
				t.Error("Begin of a read-only store succeeded")
			} else {
				checkHint(t, err)
			}
			if _, err := s.Cut(d.Staging("RUN", "t")); err == nil {
				t.Error("Cut of a read-only store succeeded")
			}
			s.Freeze(errFault)
			if s.Frozen() || s.FrozenBy() != nil {
				t.Error("a read-only store has nothing to freeze")
			}
			if _, err := d.Open("other", OpenOptions{Create: true}); !errors.Is(err, ErrMissing) {
				t.Errorf("Open of an absent table = %v, want ErrMissing", err)
			}
			closeAll(t, s, d)
			checkTree(t, before, tree(t, fs, parent))
		}
	})
}

func TestReadOnlyReadsWhatAKillLeft(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	image := killed(mem)
	closeAll(t, s, d)
	before := tree(t, image, testDir)
	for range 2 {
		d = openDirectory(t, image, func(o *DirectoryOptions) { o.ReadOnly = true })
		s = openTable(t, d)
		if got := rows(t, s); fmt.Sprint(got) != "map[a:1]" {
			t.Errorf("rows %v", got)
		}
		closeAll(t, s, d)
	}
	checkTree(t, before, tree(t, image, testDir))
}

func TestOpenWithAnUnknownWitnessWarnsAndServes(t *testing.T) {
	for name, c := range map[string]struct {
		damage  func(t *testing.T, fs vfs.FS, mark string)
		newest  error
		warning string
	}{
		"no mark": {damage: func(t *testing.T, fs vfs.FS, mark string) {
			if err := fs.Remove(mark); err != nil {
				t.Fatal(err)
			}
		}, warning: "mark is unreadable"},
		"torn mark": {damage: func(t *testing.T, fs vfs.FS, mark string) {
			writeFile(t, fs, mark, strings.Repeat("\x00", markSlotGap+markSize))
		}, warning: "mark is unreadable"},
		"mark of another lineage": {damage: func(t *testing.T, fs vfs.FS, mark string) {
			for turn := range uint64(2) {
				slot, err := markValue{lineage: "01ARZ3NDEKTSV4RRFFQ69G5FAV", seq: 1e9, turn: 1e6 + turn}.encode(nil)
				if err != nil {
					t.Fatal(err)
				}
				f, err := fs.OpenReadWrite(mark, vfs.WriteCategoryUnspecified)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteAt(slot, int64(turn)*markSlotGap); err != nil {
					t.Fatal(err)
				}
				closeAll(t, f)
			}
		}, warning: "mark is unreadable"},
		"backups cannot be listed": {newest: errFault, warning: "newest backup is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			d := openDirectory(t, mem)
			s := openTable(t, d)
			mustPut(t, s, "a", "1")
			image := killed(mem)
			closeAll(t, s, d)
			if c.damage != nil {
				c.damage(t, image, s.path+markSuffix)
			}
			var log warnings
			open := func(newest error) *Store {
				d = openDirectory(t, image, func(o *DirectoryOptions) { o.Logger = slog.New(&log) })
				return openTable(t, d, func(o *OpenOptions) {
					o.Newest = func(string) (uint64, error) { return 0, newest }
				})
			}
			s = open(c.newest)
			if log.count(c.warning) == 0 {
				t.Errorf("no warning %q in %q", c.warning, log.texts)
			}
			if n := log.count(c.warning); n > 1 {
				t.Errorf("warned %d times, want once", n)
			}
			closeAll(t, s, d)
			// The close has made the mark whole again.
			log.texts = nil
			s = open(nil)
			if len(log.texts) != 0 || fmt.Sprint(rows(t, s)) != "map[a:1]" {
				t.Errorf("second open: warnings %q, rows %v", log.texts, rows(t, s))
			}
			mustPut(t, s, "b", "2")
			if v, ok, err := readMark(image, s.path+markSuffix); err != nil || !ok || v.lineage != s.Lineage() || v.seq != 2 {
				t.Errorf("mark after a group: %+v, %v, %v, want seq 2", v, ok, err)
			}
			closeAll(t, s, d)
		})
	}
}

func TestNewestIsAskedForTheLineage(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	lineage := s.Lineage()
	closeAll(t, s)
	asked := ""
	s = openTable(t, d, func(o *OpenOptions) {
		o.Newest = func(l string) (uint64, error) { asked = l; return 1, nil } // reached, not passed
	})
	if asked != lineage {
		t.Errorf("asked for %q, want %q", asked, lineage)
	}
	closeAll(t, s, d)
}

func TestOpenWithoutCreateNeedsATable(t *testing.T) {
	mem := vfs.NewMem()
	d := openDirectory(t, mem)
	before := tree(t, mem, testDir)
	for range 2 {
		_, err := d.Open("t", OpenOptions{})
		if !errors.Is(err, ErrMissing) || errors.Is(err, messages.ErrDataLoss) {
			t.Errorf("Open = %v, want ErrMissing", err)
		}
		checkHint(t, err)
	}
	checkTree(t, before, tree(t, mem, testDir))
	closeAll(t, d)
}

func TestDamagedBlockIsToldAndDoesNotEndTheProcess(t *testing.T) {
	mem := vfs.NewMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	for i := range 50 {
		mustPut(t, s, fmt.Sprintf("k%02d", i), strings.Repeat("v", 100))
	}
	closeAll(t, s, d)
	for path, content := range tree(t, mem, s.path) {
		if strings.HasSuffix(path, ".sst") {
			damaged := []byte(content)
			damaged[20] ^= 0xff
			writeFile(t, mem, path, string(damaged))
		}
	}
	told := make(chan error, 1000)
	d = openDirectory(t, mem)
	s, err := d.Open("t", OpenOptions{OnCorruption: func(err error) {
		select {
		case told <- err:
		default:
		}
	}})
	if err == nil {
		_, _, err = s.Get([]byte("k01"))
		closeAll(t, s)
	}
	if err == nil {
		t.Fatal("a damaged block was served")
	}
	if len(told) == 0 {
		t.Error("OnCorruption was not called")
	} else if err := <-told; !errors.Is(err, messages.ErrDataLoss) || !strings.Contains(err.Error(), ".sst") {
		t.Errorf("told %v", err)
	}
	closeAll(t, d)
}
