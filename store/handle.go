package store

import (
	"errors"
	"sync"
	"sync/atomic"
)

// ErrClosed: the store is closed, or closing.
var ErrClosed = errors.New("store is closed")

// handle counts the uses of a database, so that it is closed only after the last one: a closed
// Pebble panics. newHandle makes one that is open.
type handle struct {
	uses    atomic.Int64
	closing atomic.Bool
	once    sync.Once
	drained chan struct{}
	// stop is closed when close begins, for the uses that last.
	stop chan struct{}
}

func newHandle() *handle {
	return &handle{drained: make(chan struct{}), stop: make(chan struct{})}
}

// enter begins a use; false means that the handle is closing and must not be used.
func (h *handle) enter() bool {
	h.uses.Add(1)
	if h.closing.Load() {
		h.leave()
		return false
	}
	return true
}

// leave ends a use.
func (h *handle) leave() {
	if h.uses.Add(-1) == 0 && h.closing.Load() {
		h.once.Do(func() { close(h.drained) })
	}
}

// drain refuses new uses and waits for the last one. It must be called once.
func (h *handle) drain() {
	// A use that entered before the flag was set is counted; one that enters after sees it.
	h.closing.Store(true)
	close(h.stop)
	if h.uses.Load() == 0 {
		h.once.Do(func() { close(h.drained) })
	}
	<-h.drained
}
