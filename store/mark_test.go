package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"
)

const testMark = "/mark"

// newMark opens a mark file for a new lineage.
func newMark(t testing.TB, fs vfs.FS, logger slog.Handler) *mark {
	t.Helper()
	m, err := openMark(fs, testMark, markValue{lineage: ulid.Make().String()}, slog.New(logger))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// markSeq returns the seq of the mark on fs, -1 when there is none.
func markSeq(t testing.TB, fs vfs.FS) int64 {
	t.Helper()
	v, ok, err := readMark(fs, testMark)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return -1
	}
	return int64(v.seq)
}

func TestMarkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := markValue{
			lineage: ulid.ULID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "lineage")).String(),
			seq:     rapid.Uint64().Draw(t, "seq"),
			turn:    rapid.Uint64().Draw(t, "turn"),
			clean:   rapid.Bool().Draw(t, "clean"),
		}
		slot, err := want.encode(nil)
		if err != nil || len(slot) != markSize {
			t.Fatalf("encode = %d B, %v", len(slot), err)
		}
		if got, ok := decodeMark(append(slot, 1, 2, 3)); !ok || got != want {
			t.Fatalf("decode = %+v, %v, want %+v", got, ok, want)
		}
	})
}

func TestMarkOfNoLineageIsNotEncoded(t *testing.T) {
	if _, err := (markValue{lineage: "none"}).encode(nil); err == nil {
		t.Error("encoded")
	}
}

func TestDamagedSlotIsRefused(t *testing.T) {
	slot, err := markValue{lineage: ulid.Make().String(), seq: 7, turn: 3, clean: true}.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range slot {
		for x := 1; x < 256; x++ {
			damaged := bytes.Clone(slot)
			damaged[i] ^= byte(x)
			if v, ok := decodeMark(damaged); ok {
				t.Fatalf("byte %d changed by %#x: decoded %+v", i, x, v)
			}
		}
	}
	for n := range slot {
		if _, ok := decodeMark(slot[:n]); ok {
			t.Fatalf("decoded %d B", n)
		}
	}
}

func TestMarkIsItsNewestSlot(t *testing.T) {
	mem := vfs.NewMem()
	if markSeq(t, mem) != -1 {
		t.Fatal("a mark without a file")
	}
	m := newMark(t, mem, slog.DiscardHandler)
	if markSeq(t, mem) != -1 {
		t.Fatal("a mark in an empty file")
	}
	for seq := uint64(1); seq <= 5; seq++ {
		if err := m.stamp(seq*10, false); err != nil {
			t.Fatal(err)
		}
		if got := markSeq(t, mem); got != int64(seq*10) {
			t.Errorf("mark at %d, want %d", got, seq*10)
		}
		data, err := ReadFile(mem, testMark)
		if err != nil {
			t.Fatal(err)
		}
		slot, ok := decodeMark(data[int64(seq%2)*markSlotGap:])
		if !ok || slot.turn != seq || slot.seq != seq*10 {
			t.Errorf("turn %d: its slot holds %+v, %v", seq, slot, ok)
		}
	}
	closeAll(t, closer(m.close))
}

type closer func() error

func (c closer) Close() error { return c() }

func TestTornSlotLeavesTheOther(t *testing.T) {
	mem := vfs.NewMem()
	m := newMark(t, mem, slog.DiscardHandler)
	old := []byte(nil)
	for seq := uint64(1); seq <= 6; seq++ {
		m.advance(seq)
		now, err := ReadFile(mem, testMark)
		if err != nil {
			t.Fatal(err)
		}
		offset := int(seq%2) * markSlotGap
		for n := range markSize {
			// The write got as far as n bytes; or its first n bytes are those that did not.
			head, tail := bytes.Clone(now), bytes.Clone(now)
			clear(head[offset+n : offset+markSize])
			if offset < len(old) {
				copy(head[offset+n:offset+markSize], old[offset+n:])
			}
			clear(tail[offset : offset+n+1])
			for name, torn := range map[string][]byte{"head": head, "tail": tail} {
				image := vfs.NewMem()
				if err := WriteSynced(image, testMark, torn); err != nil {
					t.Fatal(err)
				}
				want := int64(seq) - 1
				if seq == 1 {
					want = -1
				}
				if got := markSeq(t, image); got != want && !(bytes.Equal(torn, now) && got == int64(seq)) {
					t.Fatalf("write of seq %d torn at %d (%s): mark at %d, want %d", seq, n, name, got, want)
				}
			}
		}
		old = now
	}
	closeAll(t, closer(m.close))
}

func TestMarkIsSyncedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewCrashableMem()
		fs := &hookFS{FS: mem}
		m := newMark(t, fs, slog.DiscardHandler)
		if err := m.stamp(1, false); err != nil {
			t.Fatal(err)
		}
		var counter atomic.Int64
		fs.hooks(nil, func(o fileOp) {
			if o.kind == "sync" {
				counter.Add(1)
			}
		})
		durable := func() int64 { return markSeq(t, crash(mem, 0, nil)) }
		seq := uint64(1)
		for second := int64(1); second <= 3; second++ {
			last := int64(seq)
			for range 100 {
				seq++
				m.advance(seq)
				time.Sleep(markSyncEvery / 200)
			}
			if got, syncs := durable(), counter.Load(); got != last || syncs != second-1 {
				t.Fatalf("second %d: durable mark at %d after %d fsyncs, want %d", second, got, syncs, last)
			}
			time.Sleep(markSyncEvery / 2)
			synctest.Wait()
			if got, syncs := durable(), counter.Load(); got != int64(seq) || syncs != second {
				t.Fatalf("second %d: durable mark at %d after %d fsyncs, want %d", second, got, syncs, seq)
			}
		}
		time.Sleep(time.Hour)
		if n := counter.Load() - 3; n != 0 {
			t.Errorf("%d fsyncs of an idle mark", n)
		}
		closeAll(t, closer(m.close))
	})
}

func TestMarkCloseWaitsForItsFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &hookFS{FS: vfs.NewMem()}
		m := newMark(t, fs, slog.DiscardHandler)
		finish := make(chan struct{})
		fs.hooks(func(o fileOp) error {
			if o.kind == "sync" {
				<-finish
			}
			return nil
		}, nil)
		m.advance(1)
		time.Sleep(markSyncEvery)
		synctest.Wait()
		m.advance(2) // a hanging fsync holds up no acknowledgement
		closed := make(chan error, 1)
		go func() { closed <- m.close() }()
		synctest.Wait()
		if len(closed) > 0 {
			t.Error("closed while the fsync was running")
		}
		close(finish)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour) // no timer is left that uses the closed file
	})
}

func TestMarkThatCannotBeWrittenWarnsOnce(t *testing.T) {
	const text = "high-water mark not written"
	for _, kind := range []string{"write", "sync"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := &hookFS{FS: vfs.NewMem()}
				var log warnings
				m := newMark(t, fs, &log)
				fs.hooks(func(o fileOp) error {
					if o.kind == kind {
						return errFault
					}
					return nil
				}, nil)
				for seq := uint64(1); seq <= 5; seq++ {
					m.advance(seq)
					time.Sleep(2 * markSyncEvery)
				}
				if n := log.count(text); n != 1 {
					t.Errorf("warned %d times, want once", n)
				}
				if err := m.stamp(6, true); !errors.Is(err, errFault) {
					t.Errorf("stamp = %v, want the fault", err)
				}
				fs.hooks(nil, nil)
				m.advance(7) // written again when it can be
				if got := markSeq(t, fs); got != 7 {
					t.Errorf("mark at %d, want 7", got)
				}
				closeAll(t, closer(m.close))
			})
		})
	}
}

func TestCommitsGoOnWithoutTheirMark(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	var log warnings
	d := openDirectory(t, fs, func(o *DirectoryOptions) { o.Logger = slog.New(&log) })
	s := openTable(t, d)
	mustPut(t, s, "first", "stamps the mark unclean, durably")
	fs.hooks(func(o fileOp) error {
		if o.kind == "write" && o.path == s.path+markSuffix {
			return errFault
		}
		return nil
	}, nil)
	for i := range 10 {
		mustPut(t, s, fmt.Sprint(i), "x")
	}
	if s.Acked() != 11 || s.Frozen() || log.count("high-water mark not written") != 1 {
		t.Errorf("acked %d, frozen %v, warnings %q", s.Acked(), s.Frozen(), log.texts)
	}
	image := killed(mem)
	if err := s.Close(); !errors.Is(err, errFault) {
		t.Errorf("Close = %v, want the fault of the clean stamp", err)
	}
	fs.hooks(nil, nil)
	closeAll(t, d)
	for _, disk := range []*vfs.MemFS{image, mem} {
		d := openDirectory(t, disk)
		s := openTable(t, d)
		if len(rows(t, s)) != 11 {
			t.Errorf("%d rows, want 11", len(rows(t, s)))
		}
		closeAll(t, s, d)
	}
}

// A clean mark that outlived the first group would let the next open skip its look.
func TestFirstGroupNeedsTheUncleanStamp(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	path := s.path + markSuffix
	fs.hooks(func(o fileOp) error {
		if o.kind == "sync" && o.path == path {
			return errFault
		}
		return nil
	}, nil)
	if err := put(s, "k", "v"); !errors.Is(err, errFault) {
		t.Errorf("put = %v, want the fault", err)
	}
	if s.Record().GetPosition().GetSeq() != 0 || len(rows(t, s)) != 0 {
		t.Error("the group was applied")
	}
	fs.hooks(nil, nil)
	mustPut(t, s, "k", "v")
	v, ok, err := readMark(crash(mem, 0, nil), path)
	if err != nil || !ok || v.clean {
		t.Errorf("durable mark after the first group: %+v, %v, %v, want an unclean one", v, ok, err)
	}
	closeAll(t, s)
	if v, ok, err = readMark(crash(mem, 0, nil), path); err != nil || !ok || !v.clean || v.seq != 1 {
		t.Errorf("durable mark after Close: %+v, %v, %v, want a clean one at 1", v, ok, err)
	}
	closeAll(t, d)
}
