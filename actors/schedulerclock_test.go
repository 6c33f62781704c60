package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/backup"
)

// setClock is a clock that a test sets: timers go on as they were, as those of a machine do.
type setClock struct {
	step   atomic.Int64
	panics atomic.Bool // the next reading
}

// inSetWorld is inWorld with a clock that can be set.
func inSetWorld(t *testing.T, config actors.Config, test func(w *world, clock *setClock)) {
	t.Helper()
	c := &setClock{}
	defer actors.SetClock(func() time.Time {
		if c.panics.CompareAndSwap(true, false) {
			panic("clock is broken")
		}
		return time.Now().Add(time.Duration(c.step.Load()))
	})()
	inWorld(t, config, func(w *world) { test(w, c) })
}

// TestClockSetForward: the run that came due by it is noticed within an hour, once, and the next comes an interval later.
func TestClockSetForward(t *testing.T) {
	inSetWorld(t, actors.Config{Interval: day}, func(w *world, clock *setClock) {
		w.up()
		pass(2 * time.Minute)
		w.wantRuns(1, "after the start")
		clock.step.Store(int64(3 * day))
		pass(time.Hour)
		w.wantRuns(2, "an hour after the clock was set forward by three days")
		pass(day - time.Hour - time.Minute)
		w.wantRuns(2, "before the next day is over")
		pass(time.Hour + time.Minute)
		w.wantRuns(3, "a day after")
	})
}

// TestClockSetBack: the schedule does not wait for the clock to come there again. The age of the last run is unknown
// then, so that another run makes up for it. The next comes an interval later, also where the process dies in between.
func TestClockSetBack(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %v", crash), func(t *testing.T) {
			inSetWorld(t, actors.Config{Interval: day}, func(w *world, clock *setClock) {
				w.up()
				pass(2 * time.Minute)
				w.wantRuns(1, "after the start")
				clock.step.Store(-int64(10 * time.Hour))
				pass(time.Hour) // noticed
				if crash {
					pass(4 * time.Hour)
					w.crash()
					w.up()
					pass(day - 5*time.Hour)
				} else {
					pass(day - time.Hour)
				}
				w.wantRuns(2, "a day after the clock was set back")
				pass(time.Hour + time.Minute)
				w.wantRuns(3, "an hour later")
			})
		})
	}
}

// TestScheduleOutlivesPanics: of the clock, and of the host's logger while a run is refused.
func TestScheduleOutlivesPanics(t *testing.T) {
	t.Run("clock", func(t *testing.T) {
		inSetWorld(t, actors.Config{Interval: day}, func(w *world, clock *setClock) {
			w.up()
			pass(2 * time.Minute)
			clock.panics.Store(true)
			pass(2 * time.Hour)
			if clock.panics.Load() {
				t.Fatal("the clock was not read")
			}
			pass(day)
			w.wantRuns(2, "in a day with a panic")
			pass(day)
			w.wantRuns(3, "the day after")
		})
	})
	t.Run("logger", func(t *testing.T) {
		inWorld(t, actors.Config{Interval: time.Hour, CopyTimeout: day}, func(w *world) {
			var panics atomic.Int32
			w.config.Logger = slog.New(&hookHandler{func(r slog.Record) {
				if strings.Contains(r.Message, "scheduled run refused") {
					panics.Add(1)
					panic("logger is broken")
				}
			}})
			w.up()
			pass(10 * time.Minute)
			w.put("tasks", "k", "v")
			release := w.fs.hang(w.T, under(backups+"/tasks", "create"))
			for i := range 9 {
				w.run(fmt.Sprint(i), "tasks") // one under way, and all places in the queue taken
			}
			pass(2 * time.Hour)
			release()
			w.settle()
			if panics.Load() == 0 {
				t.Fatal("no run was refused")
			}
			before := w.scheduled()
			pass(3 * time.Hour)
			w.settle()
			if n := w.scheduled() - before; n < 2 {
				t.Errorf("%d scheduled runs in three hours", n)
			}
		})
	})
}

// scheduled is how many scheduled runs began.
func (w *world) scheduled() (n int) {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, run := range w.runs {
		if run.GetLabel() == "scheduled" {
			n++
		}
	}
	return n
}

// TestStopInAScheduledRun: Stop answers within its limit. The attempt stands as one that did not end, what it staged is gone,
// and it is repeated after a quarter of an hour, as after a crash.
func TestStopInAScheduledRun(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("disk hangs %v", hangs), func(t *testing.T) {
			inWorld(t, actors.Config{Interval: day, CopyTimeout: day}, func(w *world) {
				w.up()
				w.put("tasks", "k", "v")
				release := w.fs.hang(w.T, under(backups+"/tasks", "create"))
				pass(2 * time.Minute)
				began := w.started()
				if len(began) != 1 {
					t.Fatalf("runs at %v", began)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				begin := time.Now()
				stop := async(func() (string, error) { return "", w.g.Stop(ctx) })
				w.settle()
				if hangs {
					<-stop.done
					if took := time.Since(begin); !errors.Is(stop.err, backup.ErrBusy) || took > 31*time.Second {
						t.Errorf("stop = %v after %v, want that the copy holds the backups", stop.err, took)
					}
				}
				release()
				w.settle()
				<-stop.done
				if !hangs && (stop.err != nil || time.Since(begin) > 2*time.Second) {
					t.Errorf("stop = %v after %v", stop.err, time.Since(begin))
				}
				w.settle()
				w.up() // the directories are free
				if names, err := w.fs.List(dir + "/staging"); err != nil || len(names) > 0 {
					t.Errorf("staged: %v, %v", names, err)
				}
				if names, err := w.fs.List(backups + "/tasks"); err != nil || len(names) > 0 {
					t.Errorf("left among the backups: %v, %v", names, err)
				}
				w.wantNext(began[0].Add(15 * time.Minute))
				pass(16 * time.Minute)
				w.wantRuns(2, "a quarter of an hour later")
				if n := w.health("tasks").GetBackups(); n != 1 {
					t.Errorf("%d backups", n)
				}
			})
		})
	}
}
