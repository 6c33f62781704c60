package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// gauge counts the compactions that run, and how many ran at once.
type gauge struct {
	mu                   sync.Mutex
	running, most, total int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running += n
	g.most = max(g.most, g.running)
	if n > 0 {
		g.total++
	}
}

// openLimited opens a database of its own whose compactions l grants and g counts.
func openLimited(t *testing.T, l *limiter, g *gauge, fs vfs.FS) *pebble.DB {
	t.Helper()
	o := &pebble.Options{
		FS:                         fs,
		FormatMajorVersion:         PebbleFormat,
		MemTableSize:               64 << 10,
		L0CompactionThreshold:      2,
		LBaseMaxBytes:              64 << 10,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		Logger:                     pebbleLogger{logger: discard(), freeze: func(error) {}},
		EventListener: &pebble.EventListener{
			CompactionBegin: func(pebble.CompactionInfo) { g.add(1) },
			CompactionEnd:   func(pebble.CompactionInfo) { g.add(-1) },
		},
	}
	s := l.scheduler()
	o.Experimental.CompactionScheduler = s
	db, err := pebble.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	return db
}

// overwrite makes work: flushes of the same keys, each an sstable in L0.
func overwrite(db *pebble.DB, flushes int) error {
	for flush := range flushes {
		for i := range 50 {
			if err := db.Set(fmt.Appendf(nil, "%03d", i), fmt.Appendf(nil, "%d %0200d", flush, i), pebble.NoSync); err != nil {
				return err
			}
		}
		if err := db.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func TestCompactionsShareOneLimit(t *testing.T) {
	for _, most := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			const databases = 6
			l := newLimiter(most)
			var g gauge
			var dbs []*pebble.DB
			for range databases {
				dbs = append(dbs, openLimited(t, l, &g, vfs.NewMem()))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var work sync.WaitGroup
			for _, db := range dbs {
				work.Go(func() {
					for range 3 {
						if err := overwrite(db, 6); err != nil {
							t.Error(err)
						}
						// It returns when it was granted, and done: none may be forgotten.
						if err := db.Compact(ctx, []byte("0"), []byte("9"), false); err != nil {
							t.Error(err)
						}
					}
				})
			}
			work.Wait()
			for i, db := range dbs {
				if n := db.Metrics().Levels[0].TablesCount; n >= 6 {
					t.Errorf("database %d has %d sstables in L0", i, n)
				}
				closeAll(t, db)
			}
			l.close()
			if g.most > most || g.running != 0 || g.total < databases*3 {
				t.Errorf("%d compactions, %d at once, %d left; the limit is %d", g.total, g.most, g.running, most)
			}
			if len(l.schedulers) != 0 {
				t.Errorf("%d databases stay registered", len(l.schedulers))
			}
		})
	}
}

// The slots are really used at once, and a database that waits gets the next free one.
func TestLimiterFillsItsSlots(t *testing.T) {
	const most, databases = 2, 5
	l := newLimiter(most)
	var g gauge
	arrived := make(chan struct{}, 100)
	leave := make(chan struct{})
	var compacting atomic.Bool
	var dbs []*pebble.DB
	for range databases {
		fs := &hookFS{FS: vfs.NewMem()}
		db := openLimited(t, l, &g, fs)
		dbs = append(dbs, db)
		if err := overwrite(db, 1); err != nil {
			t.Fatal(err)
		}
		fs.hooks(func(o fileOp) error {
			if o.category == "pebble-compaction" && compacting.Load() {
				arrived <- struct{}{}
				<-leave
			}
			return nil
		}, nil)
	}
	compacting.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var work sync.WaitGroup
	for _, db := range dbs {
		work.Go(func() {
			if err := errors.Join(overwrite(db, 1), db.Compact(ctx, []byte("0"), []byte("9"), false)); err != nil {
				t.Error(err)
			}
		})
	}
	for range databases / most {
		for range most {
			select {
			case <-arrived:
			case <-ctx.Done():
				t.Fatal("a free slot is not used")
			}
		}
		// Both are in the middle of their compaction.
		g.mu.Lock()
		if g.running != most {
			t.Errorf("%d compactions run, want %d", g.running, most)
		}
		g.mu.Unlock()
		for range most {
			leave <- struct{}{}
		}
	}
	close(leave)
	work.Wait()
	for _, db := range dbs {
		closeAll(t, db)
	}
	l.close()
	if g.most != most {
		t.Errorf("%d compactions at once, want %d", g.most, most)
	}
}

func register(l *limiter, db pebble.DBForCompaction) *scheduler {
	s := l.scheduler()
	s.Register(1, db)
	s.start()
	return s
}

// An Open that has registered may still fail, and would not wait for a compaction.
func TestNothingIsGrantedBeforeTheStart(t *testing.T) {
	l := newLimiter(1)
	s := l.scheduler()
	granted := make(chan *waiting, 1)
	w := &waiting{granted: granted}
	s.Register(1, w)
	if ok, _ := s.TrySchedule(); ok {
		t.Error("granted before the start")
	}
	s.UpdateGetAllowedWithoutPermission()
	if n := len(l.schedulers); n != 0 {
		t.Errorf("%d databases are asked before the start", n)
	}
	s.start()
	<-granted // what was refused before is not forgotten
	w.handle.Done()
	s.Unregister()
	l.close()
}

// A database that hangs, as on its disk, must not keep another from closing. Its own close waits for it.
func TestUnregisterWaitsForItsOwnCallsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		h := hanging{asked: make(chan struct{}), finish: make(chan struct{})}
		willing, hanging := register(l, willing{}), register(l, h)
		<-h.asked
		willing.Unregister() // the bubble tells a deadlock
		done := make(chan struct{})
		go func() {
			hanging.Unregister()
			close(done)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("unregistered while the limiter was calling the database")
		default:
		}
		close(h.finish)
		<-done
		l.close()
	})
}

type hanging struct{ asked, finish chan struct{} }

func (hanging) GetAllowedWithoutPermission() int { return 1 }
func (h hanging) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	select {
	case h.asked <- struct{}{}:
	case <-h.finish:
	}
	<-h.finish
	return false, pebble.WaitingCompaction{}
}
func (hanging) Schedule(pebble.CompactionGrantHandle) bool { return false }

// A compaction's Done may come when its database, and with the last one the limiter, are closed.
func TestLimiterToleratesALateDone(t *testing.T) {
	l := newLimiter(1)
	s := register(l, willing{})
	if ok, _ := s.TrySchedule(); !ok {
		t.Fatal("not granted")
	}
	if ok, _ := s.TrySchedule(); ok {
		t.Fatal("granted beyond the limit")
	}
	s.Unregister()
	if ok, _ := s.TrySchedule(); ok {
		t.Error("granted after Unregister")
	}
	l.close()
	s.Done()
	s.UpdateGetAllowedWithoutPermission()
	if l.running != 0 || s.running.Load() != 0 {
		t.Errorf("%d slots taken, %d by the database", l.running, s.running.Load())
	}
}

// willing is a database that may always run one compaction and has none.
type willing struct{}

func (willing) GetAllowedWithoutPermission() int { return 1 }
func (willing) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return false, pebble.WaitingCompaction{}
}
func (willing) Schedule(pebble.CompactionGrantHandle) bool { return false }

// waiting is a database with one compaction to run, of a given urgency.
type waiting struct {
	pebble.WaitingCompaction
	granted chan *waiting
	handle  pebble.CompactionGrantHandle
	done    bool
}

func (w *waiting) GetAllowedWithoutPermission() int { return 1 }
func (w *waiting) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return !w.done, w.WaitingCompaction
}
func (w *waiting) Schedule(h pebble.CompactionGrantHandle) bool {
	w.done, w.handle = true, h
	w.granted <- w
	return true
}

func TestLimiterGrantsTheMostUrgentFirst(t *testing.T) {
	l := newLimiter(1)
	granted := make(chan *waiting, 10)
	order := []pebble.WaitingCompaction{
		{Priority: 100, Score: 2},
		{Priority: 100, Score: 1},
		{Priority: 80, Score: 9},
		{Optional: true, Priority: 200, Score: 9},
	}
	blocker := register(l, willing{})
	if ok, _ := blocker.TrySchedule(); !ok {
		t.Fatal("not granted")
	}
	for _, i := range []int{2, 0, 3, 1} {
		register(l, &waiting{WaitingCompaction: order[i], granted: granted})
	}
	blocker.Done()
	for i, want := range order {
		w := <-granted
		if w.WaitingCompaction != want {
			t.Errorf("grant %d: %+v, want %+v", i, w.WaitingCompaction, want)
		}
		w.handle.Done()
	}
	for s := range l.schedulers {
		s.Unregister()
	}
	l.close()
}

// Tables share the directory's limit; Close of the directory ends all that runs beside them (see TestMain).
func TestTablesShareTheDirectorysLimit(t *testing.T) {
	d := openDirectory(t, vfs.NewMem(), func(o *DirectoryOptions) { o.Compactions = 1; o.MemTableBytes = 32 << 10 })
	var stores []*Store
	for i := range 4 {
		s, err := d.Open(fmt.Sprintf("t%d", i), OpenOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
	}
	if n := registered(d); n != 4 || d.shared.limiter.most != 1 {
		t.Errorf("%d databases share a limit of %d, want 4 and 1", n, d.shared.limiter.most)
	}
	var work sync.WaitGroup
	for _, s := range stores {
		work.Go(func() {
			for i := range 150 {
				if err := put(s, fmt.Sprint(i%20), fmt.Sprintf("%01000d", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	for _, s := range stores {
		checkRecord(t, s.Record(), rows(t, s))
		closeAll(t, s)
	}
	if n := registered(d); n != 0 {
		t.Errorf("%d databases stay registered", n)
	}
	closeAll(t, d)
}
