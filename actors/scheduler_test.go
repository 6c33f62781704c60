package actors_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const day = 24 * time.Hour

// world is a host whose process starts, stops and crashes, with all the runs that ever began.
type world struct {
	*host
	disk *vfs.MemFS

	mu   sync.Mutex
	runs []*messages.BackupStarted
}

// inWorld runs test in a bubble, with nothing started.
func inWorld(t *testing.T, config actors.Config, test func(w *world)) {
	t.Helper()
	disk := vfs.NewCrashableMem()
	config.FS = disk
	stoppedBubble(t, config, func(h *host) { test(&world{host: h, disk: disk}) })
}

// up starts the process.
func (w *world) up() {
	w.Helper()
	w.start()
	w.g.Subscribe(func(event proto.Message) {
		if started, ok := event.(*messages.BackupStarted); ok {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.runs = append(w.runs, started)
		}
	})
}

// crash ends the process without a stop: the disk keeps what was fsynced.
func (w *world) crash() {
	w.Helper()
	left := w.disk.CrashClone(vfs.CrashCloneCfg{})
	_ = w.g.Stop(context.Background())
	w.disk, w.fs.FS = left, left
}

// started returns when runs began so far.
func (w *world) started() (times []time.Time) {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, run := range w.runs {
		times = append(times, run.GetStarted().AsTime())
	}
	return times
}

// wantRuns wants n runs so far.
func (w *world) wantRuns(n int, when string) {
	w.Helper()
	if got := w.started(); len(got) != n {
		w.Errorf("%d runs %s, want %d: %v", len(got), when, n, got)
	}
}

// TestScheduleEveryInterval: the first run comes soon after the start, each further one an interval after the one before,
// a manual one included.
func TestScheduleEveryInterval(t *testing.T) {
	inWorld(t, actors.Config{Interval: day, Keep: 2}, func(w *world) {
		begin := time.Now()
		w.up()
		pass(time.Minute)
		first := w.started()
		if len(first) != 1 || first[0].Sub(begin) < time.Second {
			t.Fatalf("runs at %v after the start at %v", first, begin)
		}
		for n := 1; n <= 3; n++ {
			w.put("tasks", "key", fmt.Sprint(n))
			pass(day - time.Minute)
			w.wantRuns(n, "before the day is over")
			pass(time.Minute)
			w.wantRuns(n+1, "after the day")
		}
		for i, at := range w.started() {
			if want := first[0].Add(time.Duration(i) * day); !at.Equal(want) || w.runs[i].GetLabel() != "scheduled" {
				t.Errorf("run %d = %v, want it at %v", i, w.runs[i], want)
			}
		}
		if n := w.health("tasks").GetBackups(); n != 2 {
			t.Errorf("%d backups, want 2", n)
		}
		manual := time.Now()
		w.backup()
		pass(day - time.Second)
		w.wantRuns(5, "within a day of the manual one")
		w.wantNext(manual.Add(day))
		pass(time.Second)
		w.wantRuns(6, "a day after the manual one")
		w.stop()
		pass(2 * day)
		w.wantRuns(6, "after stop")
	})
}

func (w *world) wantNext(want time.Time) {
	w.Helper()
	report, err := w.g.Health(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if got := report.GetNextRun().AsTime(); !got.Equal(want) {
		w.Errorf("next run at %v, want %v", got, want)
	}
}

// TestScheduleOfCron: at 02:30 UTC of every day.
func TestScheduleOfCron(t *testing.T) {
	inWorld(t, actors.Config{Cron: "30 2 * * *"}, func(w *world) {
		w.up()
		pass(7*day + 12*time.Hour)
		runs := w.started()
		if len(runs) != 9 && len(runs) != 8 {
			t.Fatalf("%d runs in a week: %v", len(runs), runs)
		}
		for _, at := range runs[1:] {
			if at.Format("15:04:05.000") != "02:30:00.000" {
				t.Errorf("run at %v", at)
			}
		}
		w.wantNext(runs[len(runs)-1].Add(day))
	})
}

// TestScheduleOverMonth: a month of restarts, crashes, pauses and weeks switched off, at random. While the process is up a
// run comes exactly when it is due; what came due before it started is made up for by one run within a minute.
func TestScheduleOverMonth(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	inWorld(t, actors.Config{Interval: day, Tables: []string{"a", "b"}}, func(w *world) {
		begin := time.Now()
		var last time.Time // run
		seen, off := 0, 0
		for time.Since(begin) < 30*day {
			started := time.Now()
			w.up()
			w.put("a", "key", fmt.Sprint(started))
			pass(time.Duration(random.Int64N(int64(40 * time.Hour))))
			end, runs := time.Now(), w.started()
			for due := last.Add(day); ; due = last.Add(day) {
				late := time.Duration(0)
				if !due.After(started) {
					due, late = started.Add(time.Second), 59*time.Second
				}
				if due.Add(late).After(end) && (len(runs) == seen || due.After(end)) {
					break
				}
				if len(runs) == seen {
					t.Fatalf("up from %v to %v: no run at %v, the last one was at %v", started, end, due, last)
				}
				last = runs[seen]
				seen++
				if last.Before(due) || last.After(due.Add(late)) {
					t.Errorf("up since %v: run at %v, want it at %v or up to %v later", started, last, due, late)
				}
			}
			if len(runs) > seen {
				t.Fatalf("up from %v to %v: more runs: %v", started, end, runs[seen:])
			}
			if random.IntN(2) == 0 {
				w.crash()
			} else {
				w.stop()
			}
			pause := time.Duration(random.Int64N(int64(10 * time.Hour)))
			if off == 0 && time.Since(begin) > 10*day {
				off, pause = 1, 7*day
			}
			pass(pause)
		}
		if seen < 12 || seen > 31 {
			t.Errorf("%d runs in a month with a week switched off", seen)
		}
	})
}

// TestCrashLoop: a process that lives for ten seconds over and over is backed up once an hour, not in each life. The
// chance that no life of an hour draws an early instant is below one in ten million.
func TestCrashLoop(t *testing.T) {
	inWorld(t, actors.Config{Interval: time.Hour}, func(w *world) {
		begin := time.Now()
		for time.Since(begin) < 2*time.Hour {
			w.up()
			pass(10 * time.Second)
			w.stop()
		}
		if runs := w.started(); len(runs) < 1 || len(runs) > 2 {
			t.Errorf("%d runs in two hours: %v", len(runs), runs)
		}
	})
}

// TestCrashesInRun: each attempt kills the process. It is on disk before the run begins, so the next comes after a
// quarter of an hour, then after twice as long.
func TestCrashesInRun(t *testing.T) {
	inWorld(t, actors.Config{Interval: day}, func(w *world) {
		begin := time.Now()
		for time.Since(begin) < day {
			w.up()
			w.put("tasks", "key", fmt.Sprint(time.Since(begin)))
			var left atomic.Pointer[vfs.MemFS] // the disk as the first touch of the backup found it
			remove := w.fs.on(under(backups+"/tasks", "create", "mkdir"), func(fileOp) error {
				if left.Load() == nil {
					left.Store(w.disk.CrashClone(vfs.CrashCloneCfg{}))
				}
				return errInjected
			})
			for range 60 {
				pass(10 * time.Second)
				if w.settle(); left.Load() != nil {
					break
				}
			}
			_ = w.g.Stop(context.Background())
			remove()
			if disk := left.Load(); disk != nil {
				w.disk, w.fs.FS = disk, disk
			}
		}
		runs := w.started()
		if len(runs) < 5 || len(runs) > 8 {
			t.Fatalf("%d attempts in a day: %v", len(runs), runs)
		}
		wait := 15 * time.Minute
		for i, at := range runs[1:] {
			if gap := at.Sub(runs[i]); gap < wait || gap > wait+11*time.Minute {
				t.Errorf("attempt %d came %v after the one before, want %v", i+1, gap, wait)
			}
			wait *= 2
		}
	})
}

// TestWeekOff: one run makes up for the week, soon after the start and not at once, at another instant each time.
func TestWeekOff(t *testing.T) {
	delays := make(map[time.Duration]bool)
	inWorld(t, actors.Config{Interval: day}, func(w *world) {
		for n := range 8 {
			begin := time.Now()
			w.up()
			pass(time.Minute)
			w.wantRuns(n+1, "a minute after the start")
			pass(12 * time.Hour)
			w.wantRuns(n+1, "half a day after the start")
			delays[w.started()[n].Sub(begin)] = true
			w.stop()
			pass(7 * day)
		}
	})
	if len(delays) < 2 {
		t.Errorf("every overdue run came %v after the start", delays)
	}
}

// TestFailedTableIsRetried: alone, after 1, 2, 4 minutes, also across a restart, until it succeeds.
func TestFailedTableIsRetried(t *testing.T) {
	inWorld(t, actors.Config{Interval: day, Tables: []string{"a", "b"}}, func(w *world) {
		w.up()
		w.put("a", "key", "value")
		w.put("b", "key", "value")
		remove := w.fs.fail(under(backups+"/b", "create", "mkdir"))
		pass(9 * time.Minute)
		runs := w.started()
		if len(runs) != 4 {
			t.Fatalf("runs at %v, want 4", runs)
		}
		for i, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
			if gap := runs[i+1].Sub(runs[i]); gap != wait || !slices.Equal(w.runs[i+1].GetTables(), []string{"b"}) {
				t.Errorf("retry %d after %v: %v, want b after %v", i, gap, w.runs[i+1], wait)
			}
		}
		w.crash()
		w.up()
		w.wantNext(runs[3].Add(8 * time.Minute))
		remove()
		pass(8 * time.Minute)
		w.wantRuns(5, "after the disk healed")
		w.wantNext(runs[0].Add(day))
		if row := w.health("b"); row.GetBackups() != 1 {
			t.Errorf("b = %v", row)
		}
		pass(12 * time.Hour)
		w.wantRuns(5, "without a failing table")
	})
}

// TestRunsAreNotAskedForTwice: while a run is under way, however long, nothing else is due.
func TestRunsAreNotAskedForTwice(t *testing.T) {
	inWorld(t, actors.Config{Interval: time.Hour, CopyTimeout: 24 * time.Hour}, func(w *world) {
		w.up()
		w.put("tasks", "key", "value")
		release := w.fs.hang(w.T, under(backups+"/tasks", "create"))
		manual := w.run("")
		pass(5 * time.Hour)
		manual.none("the manual run")
		release()
		w.settle()
		manual.report("the manual run")
		w.wantRuns(2, "once the long one ended: it, and one that came due meanwhile")
		pass(59 * time.Minute)
		w.wantRuns(2, "within an hour")
	})
}
