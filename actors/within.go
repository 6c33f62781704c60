package actors

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// within runs f and returns what it does, or an error when it takes too long. f is left behind then, and ends
// when the disk it waits for does.
func within[T any](limit time.Duration, f func() (T, error)) (T, error) {
	var p patience
	return patient(&p, limit, f)
}

// patience remembers the calls that were left behind: while there is one, the disk hangs, and another call would
// only leave one more goroutine there. The zero value is ready.
type patience struct{ overdue atomic.Int32 }

// end notes that the call of settled has ended.
func (p *patience) end(settled *atomic.Bool) {
	if !settled.CompareAndSwap(false, true) {
		p.overdue.Add(-1)
	}
}

// leave leaves a call behind, and returns false where it ended this instant.
func (p *patience) leave(settled *atomic.Bool) bool {
	p.overdue.Add(1)
	if settled.CompareAndSwap(false, true) {
		return true
	}
	p.overdue.Add(-1)
	return false
}

// patient is within, but an error at once while an earlier call with the same p is overdue.
func patient[T any](p *patience, limit time.Duration, f func() (T, error)) (value T, err error) {
	if p.overdue.Load() > 0 {
		return value, fmt.Errorf("disk does not answer an earlier call yet: %w", messages.ErrDeadline)
	}
	type outcome struct {
		value T
		err   error
	}
	outcomes := make(chan outcome, 1)
	var settled atomic.Bool // the call has ended, or is overdue
	go func() {
		var o outcome
		defer func() {
			if reason := recover(); reason != nil {
				o.err = fmt.Errorf("panicked: %v: %w", reason, messages.ErrInternal)
			}
			p.end(&settled)
			outcomes <- o
		}()
		o.value, o.err = f()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case o := <-outcomes:
		return o.value, o.err
	case <-timer.C:
	}
	if !p.leave(&settled) {
		o := <-outcomes
		return o.value, o.err
	}
	return value, fmt.Errorf("no answer in %v: %w", limit, messages.ErrDeadline)
}

// patiences has a patience for each name: what hangs under one holds up no other. The zero value is ready.
type patiences struct {
	mu  sync.Mutex
	all map[string]*patience
}

// of returns the patience of a name.
func (p *patiences) of(name string) *patience {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[string]*patience)
	}
	one := p.all[name]
	if one == nil {
		one = &patience{}
		p.all[name] = one
	}
	return one
}

// watchedGrace is how long what was cancelled may take to notice before it is left behind.
const watchedGrace = time.Second

// watched runs work and returns what it does, or an error when ctx ends, or work does not call progress for limit. Work
// that hangs in a system call is left behind then; its context has ended when the call returns.
func watched[T any](ctx context.Context, limit time.Duration, what string,
	work func(ctx context.Context, progress func()) (T, error)) (T, error) {
	var p patience
	return watchedBy(ctx, &p, limit, what, work)
}

// mostLeft is how many calls of watchedBy are left behind before the next ones are refused: a caller that gives up early
// is no sign of a disk that hangs.
const mostLeft = 16

// watchedBy is watched, but an error at once while mostLeft calls with the same p are left behind.
func watchedBy[T any](ctx context.Context, p *patience, limit time.Duration, what string,
	work func(ctx context.Context, progress func()) (T, error)) (value T, err error) {
	if p.overdue.Load() >= mostLeft {
		return value, fmt.Errorf("%s: disk does not answer earlier calls yet: %w", what, messages.ErrDeadline)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("%s made no progress for %v: %w", what, limit, messages.ErrDeadline))
	})
	defer watchdog.Stop()
	type outcome struct {
		value T
		err   error
	}
	outcomes := make(chan outcome, 1)
	var settled atomic.Bool // the work has ended, or is left behind
	go func() {
		var o outcome
		defer func() {
			if reason := recover(); reason != nil {
				o.err = fmt.Errorf("%s panicked: %v: %w", what, reason, messages.ErrInternal)
			}
			p.end(&settled)
			outcomes <- o
		}()
		o.value, o.err = work(ctx, func() { watchdog.Reset(limit) })
	}()
	select {
	case o := <-outcomes:
		return o.value, o.err
	case <-ctx.Done():
	}
	// What is not stuck says so soon.
	grace := time.NewTimer(watchedGrace)
	defer grace.Stop()
	select {
	case o := <-outcomes:
		return o.value, o.err
	case <-grace.C:
	}
	if !p.leave(&settled) {
		o := <-outcomes
		return o.value, o.err
	}
	return value, context.Cause(ctx)
}
