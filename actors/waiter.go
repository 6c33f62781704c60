package actors

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gabiondb/gabion/messages"
)

// waiter is a caller that waits for the answer to its one request. Nothing of it is used again but its channel, so
// whoever still holds the request cannot meet another's.
type waiter struct {
	state atomic.Uint32
	pool  *sync.Pool
	reply chan any // from the pool, and back once its answer was received, or never comes
	// late, if set, gets the answer that comes after the wait was given up. Set before state is abandoned.
	late func(any)
}

// The states of a wait.
const (
	waits        = iota
	waitClaimed  // waits, and the write is being carried out
	waitAnswered // the answer is there, or taken
	waitGivenUp  // nobody waits; the write will not be carried out
	waitUnknown  // nobody waits; the write may have been carried out
)

func (w *waiter) begin(pool *sync.Pool) {
	w.pool = pool
	w.reply, _ = pool.Get().(chan any)
	if w.reply == nil {
		w.reply = make(chan any, 1)
	}
}

// answer takes the answer. It is called once, and never waits.
func (w *waiter) answer(reply any) {
	if w.state.CompareAndSwap(waits, waitAnswered) || w.state.CompareAndSwap(waitClaimed, waitAnswered) {
		w.reply <- reply
		return
	}
	w.pool.Put(w.reply)
	if w.late != nil {
		w.late(reply)
	}
}

// claim is called before the write that is waited for is carried out; false means that its caller has given up, and was
// told that nothing was written.
func (w *waiter) claim() bool {
	return w.state.CompareAndSwap(waits, waitClaimed) || w.state.Load() != waitGivenUp
}

// await waits for the answer, as replier.await does.
func (w *waiter) await(ctx context.Context, late func(any)) (any, error) {
	select {
	case reply := <-w.reply:
		w.pool.Put(w.reply)
		return reply, nil
	case <-ctx.Done():
	}
	w.late = late
	switch {
	case w.state.CompareAndSwap(waits, waitGivenUp):
		return nil, contextError(ctx)
	case w.state.CompareAndSwap(waitClaimed, waitUnknown):
		return nil, messages.WithHint(fmt.Errorf("%w: %w", messages.ErrOutcomeUnknown, contextError(ctx)), unknownHint)
	}
	reply := <-w.reply
	w.pool.Put(w.reply)
	return reply, nil
}
