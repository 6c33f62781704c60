package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

func TestSnapshotDoesNotSeeLaterGroups(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "a", "2")
	mustPut(t, s, "b", "2")
	page, err := n.Page(&messages.Scan{})
	if err != nil || len(page.GetEntries()) != 1 || string(page.GetEntries()[0].GetValue()) != "1" {
		t.Errorf("page %v, %v, want a=1 alone", page, err)
	}
	closeAll(t, n, s, d)
}

func TestPageHoldsOneMiB(t *testing.T) {
	d := openDirectory(t, vfs.NewMem(), func(o *DirectoryOptions) { o.MemTableBytes = 4 << 20 })
	s := openTable(t, d)
	value := strings.Repeat("v", messages.MaxPage/4-len("k00"))
	err := commit(s, func(g *Group) error {
		for i := range 10 {
			if err := g.Put(fmt.Appendf(nil, "k%02d", i), []byte(value)); err != nil {
				return err
			}
		}
		return g.Put([]byte("large"), []byte(strings.Repeat("v", messages.MaxPage+1)))
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, reverse := range []bool{false, true} {
		// Four entries fill a page to the byte; the one that is too large has a page of its own.
		want := []int{4, 4, 2, 1}
		if reverse {
			want = []int{1, 4, 4, 2}
		}
		scan := &messages.Scan{Reverse: reverse}
		var got []int
		for {
			page, err := n.Page(scan)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, len(page.GetEntries()))
			if len(page.GetNext()) == 0 {
				break
			}
			if reverse {
				scan.End = page.GetNext()
			} else {
				scan.Start = page.GetNext()
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("reverse %v: pages of %v entries, want %v", reverse, got, want)
		}
	}
	closeAll(t, n, s, d)
}

// The table's own record lies beside the rows; no bound may reach it.
func TestScanNeverShowsTheRecord(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "\x00r", "a key like the record's")
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, scan := range []*messages.Scan{{}, {Reverse: true}, {Start: []byte{0}}, {Prefix: []byte{0}}, {End: []byte{0xff, 0xff}}} {
		page, err := n.Page(scan)
		if err != nil || len(page.GetEntries()) != 1 || string(page.GetEntries()[0].GetKey()) != "\x00r" {
			t.Errorf("%v: page %v, %v", scan, page, err)
		}
	}
	closeAll(t, n)
	if err := commit(s, rangeStep("\x00", "\xff\xff\xff")); err != nil {
		t.Fatal(err)
	}
	closeAll(t, s)
	s = openTable(t, d) // the record has survived the widest of ranges
	if s.Acked() != 2 || s.Record().GetCount() != 0 {
		t.Errorf("record %v", s.Record())
	}
	closeAll(t, s, d)
}

func TestAfterPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"\x01a":        "\x01b",
		"\x01a\xff":    "\x01b",
		"\x01\xff\xff": "\x02",
		"\x01a\x00":    "\x01a\x01",
	} {
		if got := afterPrefix([]byte(prefix)); string(got) != want {
			t.Errorf("afterPrefix(%q) = %q, want %q", prefix, got, want)
		}
	}
}

// Who holds a snapshot and reads nothing, as between two pages, does not keep the store from closing.
func TestCloseClosesIdleSnapshots(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		logged := &warnings{}
		mem := vfs.NewMem()
		d := openDirectory(t, mem)
		s := openTable(t, d)
		mustPut(t, s, "a", "1")
		closeAll(t, s, d)
		d = openDirectory(t, mem, func(o *DirectoryOptions) { o.ReadOnly, o.Logger = readOnly, slog.New(logged) })
		s = openTable(t, d)
		var all []*Snapshot
		for range 3 {
			n, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if page, err := n.Page(&messages.Scan{}); err != nil || len(page.GetEntries()) != 1 {
				t.Errorf("page %v, %v", page, err)
			}
			all = append(all, n)
		}
		closeAll(t, all[0])
		if n := len(s.snapshots.open); n != 2 {
			t.Errorf("%d snapshots are open, want 2", n)
		}
		within(t, 30*time.Second, "Close", func() { closeAll(t, s) })
		for _, scan := range []*messages.Scan{{}, {Start: []byte("b"), End: []byte("a")}} {
			if page, err := all[1].Page(scan); !errors.Is(err, ErrClosed) {
				t.Errorf("Page after Close = %v, %v, want ErrClosed", page, err)
			}
		}
		closeAll(t, all[1], all[2], d)
		if len(logged.texts) > 0 {
			t.Errorf("logged %q", logged.texts)
		}
	}
}

// Snapshots are made, read, kept and closed by many goroutines while the store closes.
func TestManySnapshotsAndAClose(t *testing.T) {
	for range 20 {
		d := openDirectory(t, vfs.NewMem())
		s := openTable(t, d)
		for i := range 20 {
			mustPut(t, s, fmt.Sprint(i), "v")
		}
		var users sync.WaitGroup
		var pages atomic.Int64
		begun := make(chan struct{})
		for range 8 {
			users.Go(func() {
				for {
					n, err := s.Snapshot()
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					for range 3 {
						page, err := n.Page(&messages.Scan{})
						if err != nil && !errors.Is(err, ErrClosed) || err == nil && len(page.GetEntries()) != 20 {
							t.Errorf("page of %d rows, %v", len(page.GetEntries()), err)
						}
					}
					if pages.Add(1) == 50 {
						close(begun)
					}
					if err := n.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		<-begun
		within(t, 30*time.Second, "Close", func() { closeAll(t, s) })
		users.Wait()
		closeAll(t, d)
	}
}
