package actors

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

const (
	// scheduleLabel is the label of scheduled runs.
	scheduleLabel = "scheduled"
	// mostWait is how long the timer waits at most before it looks at the clock again. Timers run on monotonic
	// time, so one that waits for a day would not see the clock be set, nor the machine sleep. It is one
	// wake-up an hour for the whole Gabion.
	mostWait = time.Hour
	// refusedWait is how long a scheduled run that was refused waits to be asked for again.
	refusedWait = time.Minute
)

// scheduler asks the runner for the runs that are due, like anybody else. The runner tells it of every run, also
// of those that others asked for. It has no goroutine while nothing is due, only a timer. The tree holds it; a
// nil scheduler does nothing.
type scheduler struct {
	tree *tree

	mu      sync.Mutex
	plan    plan
	state   *messages.ScheduleState
	timer   *time.Timer // nil until start
	asked   *request    // the scheduled run that waits or is under way
	running bool        // any run is under way
	stopped bool
	// lost is set while nothing tells of the runs before: neither the file nor the sets could be read.
	lost bool
	// unsaved is why the state is not on disk, nil where it is.
	unsaved error

	// saving holds a token while the state is written, one write at a time.
	saving chan struct{}
	// work counts what may still touch the disk.
	work sync.WaitGroup
}

// newScheduler reads what the runs before left. It returns nil when nothing is to be scheduled.
func newScheduler(t *tree) *scheduler {
	c := t.config
	if c.DisableSchedule || c.ReadOnly {
		return nil
	}
	s := &scheduler{tree: t, saving: make(chan struct{}, 1)}
	s.plan = plan{interval: c.Interval, tables: t.served(), jitter: rand.Float64()}
	if c.Cron != "" {
		s.plan.cron, _ = parseCron(c.Cron) // validated
	}
	s.state = s.load()
	s.state.Retries = slices.DeleteFunc(s.state.Retries, func(r *messages.TableRetry) bool {
		return t.members.find(r.GetTable()) == nil
	})
	return s
}

// serve takes note of which tables there are from now on.
func (s *scheduler) serve() {
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	s.work.Add(1)
	defer s.work.Done()
	// Within the lock: of two that change the tables at once, the later one takes the later list.
	tables := s.tree.served()
	s.plan.tables = tables
	s.state.Retries = slices.DeleteFunc(s.state.Retries, func(r *messages.TableRetry) bool {
		return !slices.Contains(tables, r.GetTable())
	})
	s.mu.Unlock()
	s.save()
}

// load returns the state that was saved last. One that is lost is made anew from the sets.
func (s *scheduler) load() *messages.ScheduleState {
	logger := s.tree.config.Logger
	state, err := within(listTimeout, s.tree.directory.ReadSchedule)
	if err != nil {
		logger.Warn("schedule cannot be read: the sets tell when the last run was", "error", err)
	}
	if state != nil {
		return state
	}
	sets, err := within(listTimeout, func() ([]*messages.BackupSet, error) {
		sets, err := s.tree.backups.Sets()
		if err != nil {
			return nil, err
		}
		return s.tree.backups.OwnSets(sets)
	})
	if err != nil {
		logger.Warn("sets cannot be listed: the next run comes soon", "error", err)
		s.lost = true
	}
	return s.plan.recall(sets)
}

// start arms the timer.
func (s *scheduler) start() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.plan.started = wallClock()
	s.timer = time.AfterFunc(mostWait, s.wake)
	s.mu.Unlock()
	s.wake()
}

// wake asks for the run that is due, or waits for the next one. The timer calls it, and the end of each run.
func (s *scheduler) wake() {
	if !s.enter() {
		return
	}
	defer s.work.Done()
	var wait time.Duration
	var ask *request
	defer func() {
		if reason := recover(); reason != nil {
			s.forget(ask)
			s.tree.config.Logger.Error("schedule panicked", "reason", reason, "stack", string(debug.Stack()))
			wait = mostWait
		}
		s.arm(wait)
	}()
	var tables []string
	ask, tables = s.due(wallClock())
	if ask == nil {
		return
	}
	if failure := s.tree.runner.queueUp(&messages.BackupAll{Tables: tables, Label: scheduleLabel}, ask, nil); failure != nil {
		s.tree.config.Logger.Warn("scheduled run refused: it is asked for again", "error", failure, "wait", refusedWait)
		wait = refusedWait
		s.forget(ask)
	}
}

// forget lets a run that was to be asked for, and was not queued, be asked for again.
func (s *scheduler) forget(ask *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ask != nil && s.asked == ask && !ask.taken.Load() {
		s.asked = nil
	}
}

// enter tells whether there is anything to do; then the caller must call work.Done.
func (s *scheduler) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.timer == nil {
		return false
	}
	s.work.Add(1)
	return true
}

// due returns the request for the run that is due, nil when none is. While a run is under way nothing is due: its end may
// change what is.
func (s *scheduler) due(now time.Time) (ask *request, tables []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan.correct(now)
	if s.asked != nil || s.running {
		return nil, nil
	}
	at, tables := s.plan.next(now, s.state)
	if at.IsZero() || at.After(now) {
		return nil, nil
	}
	s.asked = &request{out: s.tree.outbox}
	return s.asked, tables
}

// arm sets the timer to the next run, no sooner than in least. The end of a run that waits or is under way
// wakes the scheduler anyway.
func (s *scheduler) arm(least time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	wait := mostWait
	if least == 0 && s.asked == nil && !s.running {
		now := wallClock()
		if at, _ := s.plan.next(now, s.state); !at.IsZero() {
			wait = min(mostWait, max(0, at.Sub(now)))
		}
	} else if least > 0 {
		wait = least
	}
	s.timer.Reset(wait)
}

// began saves that a run begins. The runner calls it before the run does anything: a crash in the run must
// leave the attempt.
func (s *scheduler) began(q *queuedRun) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.running = true
	s.lost = s.lost && !q.all
	s.plan.begin(wallClock(), s.state, q.tables, q.all)
	s.mu.Unlock()
	s.save()
}

// ended saves what a run did, and looks what is due now. A run that Stop cut short, or that panicked, has not
// ended.
func (s *scheduler) ended(q *queuedRun, report *messages.BackupReport) {
	if s == nil {
		return
	}
	whole := report != nil
	results := report.GetSet().GetResults()
	s.mu.Lock()
	s.running = false
	if slices.Contains(q.askers, s.asked) {
		s.asked = nil
	}
	if s.stopped && slices.ContainsFunc(results, hasFailed) {
		whole = false
	}
	if whole {
		s.plan.end(wallClock(), s.state, results, q.all)
	}
	s.mu.Unlock()
	if whole {
		s.save()
	}
	s.wake()
}

func hasFailed(result *messages.TableResult) bool {
	return result.GetOutcome() == messages.Outcome_OUTCOME_FAILED
}

// save writes the state as it is when its turn comes. A state that cannot be written holds up no run for
// longer than the limit: this process remembers it, and only a crash could repeat a run too soon.
func (s *scheduler) save() {
	limit := s.tree.config.CopyTimeout
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case s.saving <- struct{}{}:
	case <-timer.C:
		s.tree.config.Logger.Error("schedule not written: the write before it hangs")
		return
	}
	s.mu.Lock()
	state := proto.CloneOf(s.state)
	s.mu.Unlock()
	s.work.Add(1)
	ended := false // guarded by mu
	_, err := within(limit, func() (any, error) {
		defer s.work.Done()
		defer func() { <-s.saving }()
		err := s.tree.directory.WriteSchedule(state)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unsaved, ended = err, true
		return nil, err
	})
	s.mu.Lock()
	if !ended { // it hangs, and says for itself when it has ended
		s.unsaved = err
	}
	s.mu.Unlock()
	if err != nil {
		s.tree.config.Logger.Error("schedule not written: after a crash the next run may come too soon", "error",
			fmt.Errorf("write schedule: %w", err))
	}
}

// trouble is why the schedule is not on disk: after a crash a run may come too soon. Nil where it is.
func (s *scheduler) trouble() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unsaved == nil {
		return nil
	}
	return fmt.Errorf("write schedule: %w", s.unsaved)
}

// forgot tells whether nobody knows of the runs before this start.
func (s *scheduler) forgot() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// next is when the next run is due; nil without a schedule.
func (s *scheduler) next() *timestamppb.Timestamp {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.timer == nil {
		return nil
	}
	state := s.state
	if s.running {
		// Taken to end well.
		state = proto.CloneOf(state)
		state.Unfinished = 0
	}
	at, _ := s.plan.next(wallClock(), state)
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}

// interval is the time from one run to the next, 0 without a schedule; with Cron that between the next two.
func (s *scheduler) interval() time.Duration {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan.cron == nil {
		return s.plan.interval
	}
	first := s.plan.cron.Next(wallClock())
	return s.plan.cron.Next(first).Sub(first)
}

// snapshot is a copy of the state; nil without a schedule.
func (s *scheduler) snapshot() *messages.ScheduleState {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return proto.CloneOf(s.state)
}

// stop ends the schedule. The run under way is the runner's to end.
func (s *scheduler) stop() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// wait returns when nothing of the schedule touches the disk any more; called when it is stopped and no run is
// under way.
func (s *scheduler) wait() {
	if s != nil {
		s.work.Wait()
	}
}

// wallClock is the time without its monotonic reading, which would hide that the clock was set.
func wallClock() time.Time { return clock().UTC().Round(0) }

// clock is the machine's, which somebody may set.
var clock = time.Now
