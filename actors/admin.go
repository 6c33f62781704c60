package actors

import (
	"context"
	"runtime/debug"
	"sync"
)

// admin counts the goroutines that work beside the supervisor, so that Stop can wait for what they answer.
type admin struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running is 0; made by wait
}

// start runs work on a goroutine of its own.
func (a *admin) start(work func()) {
	a.began()
	go func() {
		defer a.ended()
		work()
	}()
}

// aside runs work on a goroutine of its own, as start does. A panic in it is logged, and ends nothing else: nobody waits for
// an answer.
func (t *tree) aside(what string, work func()) {
	t.admin.start(func() {
		defer func() {
			if reason := recover(); reason != nil {
				t.config.Logger.Error(what+" panicked", "reason", reason, "stack", string(debug.Stack()))
			}
		}()
		work()
	})
}

func (a *admin) began() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running++
}

func (a *admin) ended() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running--; a.running == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// wait waits until nothing runs, or ctx ends. One call at a time.
func (a *admin) wait(ctx context.Context) {
	a.mu.Lock()
	if a.running == 0 {
		a.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	a.idle = idle
	a.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
