package store

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// limiter bounds how many compactions run at once over all databases that share it. Pebble alone would
// run one per database: a thousand tables, a thousand compactions. Flushes are not limited.
type limiter struct {
	most int
	kick chan struct{}
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	running int
	// turnedAway: TrySchedule found no free slot since a refused one was last offered again.
	turnedAway bool
	schedulers map[*scheduler]struct{}
}

func newLimiter(most int) *limiter {
	l := &limiter{
		most:       most,
		kick:       make(chan struct{}, 1),
		stop:       make(chan struct{}),
		done:       make(chan struct{}),
		schedulers: make(map[*scheduler]struct{}),
	}
	go l.grant()
	return l
}

// close ends the granting goroutine. Every database must have unregistered before; the Done of its last
// compaction may still come.
func (l *limiter) close() {
	close(l.stop)
	<-l.done
}

func (l *limiter) scheduler() *scheduler { return &scheduler{limiter: l} }

// grant hands free slots to waiting databases whenever one of them may have become free.
func (l *limiter) grant() {
	defer close(l.done)
	for {
		select {
		case <-l.stop:
			return
		case <-l.kick:
			for l.grantOne() {
			}
		}
	}
}

func (l *limiter) poke() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// grantOne gives one slot to the database whose compaction matters most and that accepts it. Databases are asked
// without the limiter's mutex: Pebble's own locks come first in the order.
func (l *limiter) grantOne() bool {
	l.mu.Lock()
	if l.running >= l.most {
		l.mu.Unlock()
		return false
	}
	candidates := slices.Collect(maps.Keys(l.schedulers))
	l.mu.Unlock()

	type bid struct {
		*scheduler
		pebble.WaitingCompaction
	}
	var bids []bid
	for _, s := range candidates {
		if ok, waiting := s.waiting(); ok {
			bids = append(bids, bid{s, waiting})
		}
	}
	slices.SortFunc(bids, func(a, b bid) int { return compare(a.WaitingCompaction, b.WaitingCompaction) })
	return slices.ContainsFunc(bids, func(b bid) bool { return b.schedule() })
}

// compare orders what matters more before what matters less.
func compare(a, b pebble.WaitingCompaction) int {
	switch {
	case a.Optional && !b.Optional:
		return 1
	case b.Optional && !a.Optional:
		return -1
	}
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(b.Score, a.Score))
}

// scheduler is one database's access to the limiter. It implements pebble.CompactionScheduler and the
// grant handle of each compaction.
type scheduler struct {
	limiter *limiter
	db      pebble.DBForCompaction
	running atomic.Int32
	// calls counts the limiter's calls into db that are under way.
	calls sync.WaitGroup
}

var (
	_ pebble.CompactionScheduler   = (*scheduler)(nil)
	_ pebble.CompactionGrantHandle = (*scheduler)(nil)
)

// Register is called by an Open that may still fail, with Pebble's locks held.
func (s *scheduler) Register(_ int, db pebble.DBForCompaction) { s.db = db }

// start lets the database compact. It is called after its Open has succeeded: one that fails would tear the
// files away from under a compaction that its first flush began.
func (s *scheduler) start() {
	s.limiter.mu.Lock()
	s.limiter.schedulers[s] = struct{}{}
	s.limiter.mu.Unlock()
	s.limiter.poke()
}

func (s *scheduler) Unregister() {
	s.limiter.mu.Lock()
	delete(s.limiter.schedulers, s)
	s.limiter.mu.Unlock()
	s.calls.Wait()
}

// enter begins a call into the database, unless that has unregistered. Each call is counted by itself: one
// database that hangs on its disk must not hold up the Unregister of another.
func (s *scheduler) enter() bool {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	_, registered := s.limiter.schedulers[s]
	if registered {
		s.calls.Add(1)
	}
	return registered
}

// waiting asks the database for a compaction that waits for its slot.
func (s *scheduler) waiting() (bool, pebble.WaitingCompaction) {
	if !s.enter() {
		return false, pebble.WaitingCompaction{}
	}
	defer s.calls.Done()
	if int(s.running.Load()) >= s.db.GetAllowedWithoutPermission() {
		return false, pebble.WaitingCompaction{}
	}
	return s.db.GetWaitingCompaction()
}

// schedule gives the database a slot, if there still is one and it wants it.
func (s *scheduler) schedule() bool {
	if !s.enter() {
		return false
	}
	defer s.calls.Done()
	if !s.take() {
		return false
	}
	if s.db.Schedule(s) {
		return true
	}
	s.release()
	// Offered again only where one was asked for meanwhile: otherwise, while all refuse, it would go round for ever.
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if s.limiter.turnedAway {
		s.limiter.turnedAway = false
		s.limiter.poke()
	}
	return false
}

// TrySchedule is called with Pebble's locks held.
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	if int(s.running.Load()) >= s.db.GetAllowedWithoutPermission() || !s.take() {
		return false, nil
	}
	return true, s
}

func (s *scheduler) take() bool {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	if _, registered := s.limiter.schedulers[s]; !registered {
		return false
	}
	if s.limiter.running >= s.limiter.most {
		s.limiter.turnedAway = true
		return false
	}
	s.limiter.running++
	s.running.Add(1)
	return true
}

func (s *scheduler) release() {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.limiter.running--
	s.running.Add(-1)
}

func (s *scheduler) UpdateGetAllowedWithoutPermission()                { s.limiter.poke() }
func (s *scheduler) Started()                                          {}
func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind)         {}
func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}
func (s *scheduler) Done()                                             { s.release(); s.limiter.poke() }
