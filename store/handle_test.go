package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

func TestHandleDrainsItsUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandle()
		for range 3 {
			if !h.enter() {
				t.Fatal("an open handle refuses")
			}
		}
		drained := make(chan struct{})
		go func() {
			h.drain()
			close(drained)
		}()
		for range 3 {
			synctest.Wait()
			select {
			case <-drained:
				t.Fatal("drained while in use")
			case <-h.stop:
			}
			if h.enter() {
				t.Fatal("a closing handle was entered")
			}
			h.leave()
		}
		<-drained
		if h.enter() {
			t.Error("a closed handle was entered")
		}
	})
}

func TestHandleUnderManyGoroutines(t *testing.T) {
	for range 200 {
		h := newHandle()
		var inside atomic.Int64
		var closed atomic.Bool
		var users sync.WaitGroup
		for range 8 {
			users.Go(func() {
				for h.enter() {
					inside.Add(1)
					if closed.Load() {
						t.Error("in use after drain")
					}
					inside.Add(-1)
					h.leave()
				}
			})
		}
		h.drain()
		closed.Store(true)
		if n := inside.Load(); n != 0 {
			t.Errorf("%d uses after drain", n)
		}
		users.Wait()
	}
}

func TestClosedStoreRefusesEverything(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		mem := vfs.NewMem()
		d := openDirectory(t, mem)
		s := openTable(t, d)
		mustPut(t, s, "a", "1")
		closeAll(t, s, d)
		d = openDirectory(t, mem, func(o *DirectoryOptions) { o.ReadOnly = readOnly })
		s = openTable(t, d)
		closeAll(t, s)
		uses := map[string]func() error{
			"Get":      func() error { _, _, err := s.Get([]byte("a")); return err },
			"Snapshot": func() error { _, err := s.Snapshot(); return err },
			"Flush":    s.Flush,
			"Usage":    func() error { _, err := s.Usage(); return err },
		}
		if !readOnly {
			uses["Begin"] = func() error { _, err := s.Begin(); return err }
			uses["Cut"] = func() error { _, err := s.Cut(d.Staging("RUN", "t")); return err }
		}
		for name, use := range uses {
			if err := use(); !errors.Is(err, ErrClosed) {
				t.Errorf("read-only %v: %s after Close = %v, want ErrClosed", readOnly, name, err)
			}
		}
		if names, err := mem.List(testDir + "/" + stagingDir); err != nil || len(names) > 0 {
			t.Errorf("staging holds %v, %v", names, err)
		}
		closeAll(t, d)
	}
}

// Each use holds the store open until it ends, and Close waits just as long.
func TestCloseWaitsForEachUse(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, s *Store) (end func() error){
		"page": func(t *testing.T, s *Store) func() error {
			n, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			reading, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
			go func() {
				done <- n.walk(&messages.Scan{}, func(_, _ []byte) bool {
					close(reading)
					<-leave
					return false
				})
			}()
			<-reading
			return func() error {
				close(leave)
				return errors.Join(<-done, n.Close())
			}
		},
		"group": func(t *testing.T, s *Store) func() error {
			g, err := s.Begin()
			if err != nil {
				t.Fatal(err)
			}
			return func() error { g.Abandon(); return nil }
		},
		"commit": func(t *testing.T, s *Store) func() error {
			g, err := s.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Put([]byte("b"), []byte("2")); err != nil {
				t.Fatal(err)
			}
			c, err := s.Apply(g)
			if err != nil {
				t.Fatal(err)
			}
			return c.Wait
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			d := openDirectory(t, mem)
			s := openTable(t, d)
			mustPut(t, s, "a", "1")
			end := begin(t, s)
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			<-s.handle.stop
			if _, err := s.Begin(); !errors.Is(err, ErrClosed) {
				t.Errorf("Begin while closing = %v", err)
			}
			select {
			case err := <-closed:
				t.Fatalf("closed while in use: %v", err)
			default:
			}
			if err := end(); err != nil {
				t.Error(err)
			}
			within(t, 30*time.Second, "Close", func() {
				if err := <-closed; err != nil {
					t.Error(err)
				}
			})
			s = openTable(t, d)
			want := 1
			if name == "commit" {
				want = 2
			}
			if got := rows(t, s); len(got) != want {
				t.Errorf("rows %v, want %d", got, want)
			}
			closeAll(t, s, d)
		})
	}
}

func TestLastingPageStopsWhenTheStoreCloses(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	for i := range 10 {
		mustPut(t, s, fmt.Sprint(i), "v")
	}
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	read := 0
	err = n.walk(&messages.Scan{}, func(_, _ []byte) bool {
		if read++; read == 3 {
			go func() { closed <- s.Close() }()
			<-s.handle.stop
		}
		return true
	})
	if !errors.Is(err, ErrClosed) || read != 3 {
		t.Errorf("walk = %v after %d rows, want ErrClosed after 3", err, read)
	}
	if page, err := n.Page(&messages.Scan{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Page = %v, %v, want ErrClosed", page, err)
	}
	closeAll(t, n)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	closeAll(t, d)
}

// Everything at once, for the race detector: nothing panics, nothing hangs, and each call works or says ErrClosed.
func TestManyGoroutinesAndAClose(t *testing.T) {
	rng := random(t)
	for range 5 {
		mem := vfs.NewMem()
		d := openDirectory(t, mem, func(o *DirectoryOptions) { o.MemTableBytes = 32 << 10 })
		s := openTable(t, d)
		mustPut(t, s, "k0001", "v")
		check := func(err error) bool {
			if err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			return err == nil
		}
		var users sync.WaitGroup
		loop := func(use func(rng *rand.Rand) error) {
			own := rand.New(rand.NewPCG(rng.Uint64(), 2))
			users.Go(func() {
				for check(use(own)) {
				}
			})
		}
		for range 3 {
			loop(func(rng *rand.Rand) error {
				_, _, err := s.Get(fmt.Appendf(nil, "k%04d", rng.IntN(100)))
				return err
			})
			loop(func(*rand.Rand) error {
				n, err := s.Snapshot()
				if err != nil {
					return err
				}
				_, err = n.Page(&messages.Scan{})
				return errors.Join(err, n.Close())
			})
		}
		loop(func(*rand.Rand) error { _, err := s.Usage(); return err })
		loop(func(*rand.Rand) error { _ = s.Record(); _ = s.Acked(); _ = s.Frozen(); return s.Flush() })

		queue := make(chan *Commit, 8)
		users.Go(func() { // the acker
			for c := range queue {
				check(c.Wait())
			}
		})
		groups := 20 + rng.IntN(100)
		seq := uint64(1)
		for i := range groups {
			g, err := s.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Put(fmt.Appendf(nil, "k%04d", i%100), make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			c, err := s.Apply(g)
			if err != nil {
				t.Fatal(err)
			}
			queue <- c
			seq++
		}
		within(t, 60*time.Second, "Close", func() { closeAll(t, s) })
		close(queue)
		users.Wait()
		if s.Acked() != seq {
			t.Errorf("acked %d, want %d: Close did not wait for the commits", s.Acked(), seq)
		}
		s = openTable(t, d)
		checkRecord(t, s.Record(), rows(t, s))
		closeAll(t, s, d)
	}
}
