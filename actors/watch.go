package actors

import (
	"sync"
	"sync/atomic"
	"time"
)

// watch tells when work that is under way makes no progress. A timer runs while there is work, and none otherwise. Its
// methods may be called from any goroutine, none with the committer's mutex held: the callbacks take it.
type watch struct {
	// after is how long work may go without a step.
	after time.Duration
	// stalled is called when it went longer, resumed with the next step, or when all work has ended: each once, in
	// turn, and never after end.
	stalled, resumed func()

	// born is any time before the first step. A clock that is set makes no disk hang, and hides none that does: the last step is
	// counted from here, by the monotonic clock.
	born  time.Time
	last  atomic.Int64
	hangs atomic.Bool

	mu    sync.Mutex
	work  int
	timer *time.Timer
	armed bool // while work goes on and is not stalled; it may look once after the last work has ended
	over  bool
}

// begin counts a piece of work that is under way from now on.
func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.work++; w.work > 1 || w.over {
		return
	}
	w.note()
	if !w.armed {
		w.arm(w.after)
	}
}

// done ends a piece of work, which is a step.
func (w *watch) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.work--
	w.advance()
}

// step notes progress.
func (w *watch) step() {
	w.note()
	if !w.hangs.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
}

func (w *watch) note() { w.last.Store(int64(time.Since(w.born))) }

// advance is step with mu held.
func (w *watch) advance() {
	w.note()
	if !w.hangs.Load() {
		return
	}
	w.hangs.Store(false)
	if w.over {
		return
	}
	if w.work > 0 {
		w.arm(w.after)
	}
	w.resumed()
}

func (w *watch) arm(d time.Duration) {
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.look)
		return
	}
	w.timer.Reset(d)
}

// look is the timer's.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	if w.work == 0 || w.over || w.hangs.Load() {
		return
	}
	if left := w.after - (time.Since(w.born) - time.Duration(w.last.Load())); left > 0 {
		w.arm(left)
		return
	}
	w.hangs.Store(true)
	w.stalled()
}

// end stops the watch.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
