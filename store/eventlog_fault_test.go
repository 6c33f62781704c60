package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
)

// openSmallLog is openLog with files of 4 KiB.
func openSmallLog(fs vfs.FS) *EventLog {
	l := openLog(fs)
	l.fileBytes = 4 << 10
	return l
}

func newSmallLog(t *testing.T, fs vfs.FS) *EventLog {
	t.Helper()
	l := newLog(t, fs)
	l.fileBytes = 4 << 10
	return l
}

// wantTrue wants events to be such that were appended, with that reason, in order.
func wantTrue(t *testing.T, l *EventLog, reason func(seq uint64) string) []uint64 {
	t.Helper()
	events := readAll(t, l)
	var last uint64
	for _, e := range events {
		if e.GetSeq() <= last || !proto.Equal(e, logged(e.GetSeq(), reason(e.GetSeq()))) {
			t.Fatalf("event %d after %d is false: %.200v", e.GetSeq(), last, e)
		}
		last = e.GetSeq()
	}
	return seqs(events)
}

// wantGoesOn wants the next start to append to what a crash left, and every line that it leaves to be whole.
func wantGoesOn(t *testing.T, fs vfs.FS, reason func(seq uint64) string) {
	t.Helper()
	l := openSmallLog(fs)
	before := wantTrue(t, l, reason)
	next, err := l.Last()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(before); n > 0 && next < before[n-1] {
		t.Fatalf("last is %d of %v", next, before)
	}
	appendEvents(t, l, logged(next+1, reason(next+1)), logged(next+2, reason(next+2)))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	after := wantTrue(t, openSmallLog(fs), reason)
	if n := len(after); n < 2 || after[n-2] != next+1 || after[n-1] != next+2 || n < min(len(before), 2) {
		t.Fatalf("a crash left %v, then there were %v, want %d and %d behind", before, after, next+1, next+2)
	}
	wantSmall(t, fs, l.fileBytes)
}

// TestEventLogAcrossCrashes: a crash before any file operation leaves every event that was fsynced, unless rotation
// removed it since, and perhaps later ones; with nothing of what was not fsynced kept, exactly those up to some event. The
// next start goes on behind them.
func TestEventLogAcrossCrashes(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	l := newSmallLog(t, fs)
	rng := rand.New(rand.NewPCG(3, 4))
	reason := func(seq uint64) string { return strings.Repeat("x", 30*int(seq%7)) }
	var durable uint64 // fsynced
	crashes := 0
	crash := func() {
		for _, kept := range []int{0, 0, 50, 100} {
			clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})
			found := wantTrue(t, openSmallLog(clone), reason)
			for i, seq := range found {
				if kept == 0 && seq != found[0]+uint64(i) || seq != uint64(i+1) && seq <= durable {
					t.Fatalf("a crash left %v of events durable up to %d", found, durable)
				}
			}
			if n := uint64(len(found)); n < durable {
				t.Fatalf("a crash left %v of events durable up to %d", found, durable)
			}
			wantGoesOn(t, clone, reason)
			crashes++
		}
	}
	fs.hooks(func(o fileOp) error {
		if strings.HasPrefix(o.path, logDir+"/"+eventsDir) || o.kind == "sync" {
			crash()
		}
		return nil
	}, nil)
	for seq := range uint64(40) {
		appendEvents(t, l, logged(seq+1, reason(seq+1)))
		switch seq % 10 {
		case 4:
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			durable = seq + 1
			crash()
		case 8:
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			durable = seq + 1
			l = openSmallLog(fs)
		}
	}
	if crashes < 200 {
		t.Errorf("%d crashes only", crashes)
	}
}

// TestRotationAcrossCrashes: a crash in a rotation leaves no hole: what is left ends with the newest durable event, and
// goes back without a gap.
func TestRotationAcrossCrashes(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	l := newSmallLog(t, fs)
	reason := func(seq uint64) string { return strings.Repeat("x", 1600) } // two a file
	rotations := 0
	fs.hooks(func(o fileOp) error {
		if o.kind == "write" {
			return nil
		}
		rotations++
		for _, kept := range []int{0, 100} {
			clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rand.New(rand.NewPCG(1, 2))})
			found := wantTrue(t, openSmallLog(clone), reason)
			for i, seq := range found {
				if seq != found[0]+uint64(i) {
					t.Fatalf("%s of %s: a crash left %v", o.kind, o.path, found)
				}
			}
			if last := l.last; kept == 100 && last > 0 && (len(found) == 0 || found[len(found)-1] != last) {
				t.Fatalf("%s of %s: %v is left of events up to %d", o.kind, o.path, found, last)
			}
			wantGoesOn(t, clone, reason)
		}
		return nil
	}, nil)
	for seq := range uint64(13) {
		appendEvents(t, l, logged(seq+1, reason(seq+1)))
	}
	if rotations < 40 {
		t.Errorf("%d operations only", rotations)
	}
}

// TestTornEventFile: a file that ends anywhere holds the events before its end, and the next start goes on there.
func TestTornEventFile(t *testing.T) {
	whole := newSmallLog(t, vfs.NewMem())
	reason := func(seq uint64) string { return strings.Repeat("é\n{}", int(seq)) }
	appendEvents(t, whole, logged(1, reason(1)), logged(2, reason(2)), logged(3, reason(3)))
	data, err := ReadFile(whole.fs, whole.path(1))
	if err != nil {
		t.Fatal(err)
	}
	for end := range len(data) + 1 {
		for _, tail := range []string{"", "\x00\x00"} {
			fs := vfs.NewMem()
			l := newSmallLog(t, fs)
			if err := MkdirDurably(fs, l.dir); err != nil {
				t.Fatal(err)
			}
			torn := append(bytes.Clone(data[:end]), tail...)
			if err := WriteDurably(fs, l.path(1), torn); err != nil {
				t.Fatal(err)
			}
			found := wantTrue(t, l, reason)
			lines := bytes.Count(data[:end], []byte("\n"))
			if n := len(found); n != lines && (n != lines+1 || data[end] != '\n' || tail != "") {
				t.Fatalf("cut at %d: events %v", end, found)
			}
			wantGoesOn(t, fs, reason)
			mended, err := ReadFile(fs, l.path(1))
			if err != nil {
				t.Fatal(err)
			}
			for line, ended := range eventLines(mended) {
				if _, ok := parseEvent(line); !ok || !ended {
					t.Fatalf("cut at %d: left the line %q", end, line)
				}
			}
		}
	}
}

// TestFailingEventLog: whichever operation fails, once or for a while, no other event is lost, and none is false. A write
// that fails may have been carried out in part.
func TestFailingEventLog(t *testing.T) {
	reason := func(seq uint64) string { return strings.Repeat("x", 1300) } // three a file
	const n = 24
	for _, lasting := range []int{1, 5} {
		for at := 0; ; at++ {
			fs := &hookFS{FS: vfs.NewMem()}
			l := newSmallLog(t, fs)
			ops := 0
			fs.hooks(func(o fileOp) error {
				if ops++; ops <= at || ops > at+lasting {
					return nil
				}
				if o.kind == "write" {
					tearWrite(t, fs.FS, o.path, (at%3)*1000)
				}
				return syscall.EIO
			}, nil)
			var want []uint64
			for seq := uint64(1); seq <= n; seq++ {
				if err := l.Append(logged(seq, reason(seq))); err == nil {
					want = append(want, seq)
				} else if !errors.Is(err, syscall.EIO) {
					t.Fatalf("operation %d failed: append %d: %v", at, seq, err)
				}
			}
			fs.hooks(nil, nil)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			wantSmall(t, fs, l.fileBytes)
			found := wantTrue(t, openSmallLog(fs), reason)
			if len(want) < n-lasting || !endsWith(found, want) {
				t.Fatalf("operation %d failed: events %v, appended %v", at, found, want)
			}
			if ops <= at {
				if at < 60 {
					t.Errorf("%d operations only", at)
				}
				break
			}
		}
	}
}

// TestReadBesideRotation: a file that rotation removes after a reader has listed it costs the reader its events alone.
func TestReadBesideRotation(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l := newSmallLog(t, fs)
	for seq := range uint64(6) {
		appendEvents(t, l, logged(seq+1, strings.Repeat("x", 1600))) // two a file
	}
	fs.hooks(nil, func(o fileOp) {
		if o.kind == "list" {
			fs.hooks(nil, nil)
			if err := fs.Remove(l.path(1)); err != nil {
				t.Error(err)
			}
		}
	})
	wantSeqs(t, "beside a rotation", readAll(t, l), 3, 4, 5, 6)
}

// tearWrite writes the first n bytes of the line that is about to be appended, as far as the file goes.
func tearWrite(t *testing.T, fs vfs.FS, path string, n int) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		_, err = f.WriteAt([]byte(`{"seq":"1","reason":"`+strings.Repeat("y", n)), info.Size())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// endsWith tells whether the newest of found are the newest of want, beside perhaps a few that failed.
func endsWith(found, want []uint64) bool {
	have := make(map[uint64]bool)
	for _, seq := range found {
		have[seq] = true
	}
	for _, seq := range want {
		if len(found) > 0 && seq >= found[0] && !have[seq] {
			return false
		}
	}
	return len(found) > 0 && found[len(found)-1] >= want[len(want)-1]
}
