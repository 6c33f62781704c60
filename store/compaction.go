package store

import (
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

	mu         sync.Mutex
	running    int
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

// grantOne gives one slot to the database whose compaction matters most. Databases are asked without the
// limiter's mutex: Pebble's own locks come first in the order.
func (l *limiter) grantOne() bool {
	l.mu.Lock()
	if l.running >= l.most {
		l.mu.Unlock()
		return false
	}
	candidates := make([]*scheduler, 0, len(l.schedulers))
	for s := range l.schedulers {
		s.calls.Add(1)
		candidates = append(candidates, s)
	}
	l.mu.Unlock()
	defer func() {
		for _, s := range candidates {
			s.calls.Done()
		}
	}()

	var best *scheduler
	var bestWaiting pebble.WaitingCompaction
	for _, s := range candidates {
		if int(s.running.Load()) >= s.db.GetAllowedWithoutPermission() {
			continue
		}
		if ok, waiting := s.db.GetWaitingCompaction(); ok && (best == nil || before(waiting, bestWaiting)) {
			best, bestWaiting = s, waiting
		}
	}
	if best == nil || !best.take() {
		return false
	}
	if !best.db.Schedule(best) {
		best.release()
		return false
	}
	return true
}

// before tells whether a matters more than b.
func before(a, b pebble.WaitingCompaction) bool {
	if a.Optional != b.Optional {
		return !a.Optional
	}
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.Score > b.Score
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

func (s *scheduler) Register(_ int, db pebble.DBForCompaction) {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.db = db
	s.limiter.schedulers[s] = struct{}{}
}

func (s *scheduler) Unregister() {
	s.limiter.mu.Lock()
	delete(s.limiter.schedulers, s)
	s.limiter.mu.Unlock()
	s.calls.Wait()
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
	if _, registered := s.limiter.schedulers[s]; !registered || s.limiter.running >= s.limiter.most {
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
