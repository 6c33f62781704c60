package store

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// runs has the process of a directory run for so much longer, by the clock that nobody sets.
func runs(d *Directory, longer time.Duration) {
	ran := d.lives.now() + longer
	d.lives.running = func() time.Duration { return ran }
}

// life is what is kept as undo for a week, on a clock that is set.
type life struct {
	*testing.T
	fs     vfs.FS
	d      *Directory
	now    time.Time
	ran    time.Duration // since the drop, whoever runs
	offset time.Duration // of the clock that is set
}

const week = 7 * 24 * time.Hour

func newLife(t *testing.T) *life {
	fs := vfs.NewMem()
	l := &life{T: t, fs: fs, now: time.Now()}
	l.d, _ = dropped(t, fs, l.now.Add(week))
	return l
}

// pass lets time pass, in which the process runs and sweeps once an hour.
func (l *life) pass(d time.Duration) {
	l.Helper()
	for end := l.ran + d; l.ran < end; {
		l.ran += time.Hour
		runs(l.d, time.Hour)
		l.sweep()
	}
}

func (l *life) sweep() {
	l.Helper()
	if _, err := l.d.SweepUndo("t", l.now.Add(l.ran+l.offset)); err != nil {
		l.Fatal(err)
	}
}

// restart has another process go on, for which so much time has passed meanwhile.
func (l *life) restart(off time.Duration) {
	l.Helper()
	closeAll(l.T, l.d)
	l.ran += off
	l.d = openDirectory(l.T, l.fs)
	l.sweep()
}

// want wants the undo to be kept, or not, and if so to say for how long by the clock that is set.
func (l *life) want(kept bool, left time.Duration) {
	l.Helper()
	all, err := l.d.Undo("t")
	if err != nil || (len(all) == 1) != kept {
		l.Fatalf("after %v: undo %v, %v; want it kept: %v", l.ran, all, err, kept)
	}
	if !kept {
		return
	}
	if says := all[0].GetUntil().AsTime().Sub(l.now.Add(l.ran + l.offset)); says < left-time.Hour || says > left+time.Hour {
		l.Errorf("after %v: it is kept for %v, want %v", l.ran, says, left)
	}
}

// TestUndoWhileTheClockJumps: what counts while the process runs is how long it ran. A clock that is ahead for a while takes nothing
// of the life, nor does one that stays ahead, or goes back.
func TestUndoWhileTheClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": 365 * 24 * time.Hour, "back": -365 * 24 * time.Hour, "by a day": 24 * time.Hour} {
		for _, stays := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				l := newLife(t)
				defer func() { closeAll(t, l.d) }()
				l.pass(24 * time.Hour)
				l.want(true, 6*24*time.Hour)
				l.offset = jump
				l.pass(24 * time.Hour)
				l.want(true, 5*24*time.Hour)
				if !stays {
					l.offset = 0
				}
				l.pass(5*24*time.Hour - 2*time.Hour)
				l.want(true, 2*time.Hour)
				l.pass(4 * time.Hour)
				l.want(false, 0)
			})
		}
	}
}

// TestUndoAfterAStartOnAWrongClock: it takes half of the life at most, however long one run is ahead; what is left goes on once the
// clock is right.
func TestUndoAfterAStartOnAWrongClock(t *testing.T) {
	l := newLife(t)
	defer func() { closeAll(t, l.d) }()
	l.pass(24 * time.Hour)
	const atLeast = 6*24*time.Hour - week/2 + 2*time.Hour // a day was counted on disk but for its last hours
	l.offset = 365 * 24 * time.Hour
	l.restart(time.Minute)
	l.want(true, atLeast)
	l.pass(time.Hour)
	l.offset = 0
	l.restart(time.Minute)
	l.want(true, atLeast)
	l.pass(2 * 24 * time.Hour)
	l.want(true, atLeast-2*24*time.Hour)
	l.pass(24 * time.Hour)
	l.want(false, 0)
}

// TestUndoOfAMachineThatIsOffForLong ends all the same: each start counts half of the life.
func TestUndoOfAMachineThatIsOffForLong(t *testing.T) {
	l := newLife(t)
	defer func() { closeAll(t, l.d) }()
	l.restart(30 * 24 * time.Hour)
	l.want(true, week/2)
	l.restart(30 * 24 * time.Hour)
	l.want(false, 0)
}

// TestUndoByCommandsAlone: short processes that come once a day count all of it.
func TestUndoByCommandsAlone(t *testing.T) {
	l := newLife(t)
	defer func() { closeAll(t, l.d) }()
	for range 6 {
		l.restart(24 * time.Hour)
	}
	l.want(true, 24*time.Hour)
	l.restart(25 * time.Hour)
	l.want(false, 0)
}
