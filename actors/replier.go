package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// replier is a process that waits for one answer at a time. It is pooled, and goes back to the pool only
// after its answer was received. Each wait has a number, which its PID carries as the request id: a second answer to an
// earlier request, such as one of the host's middleware that answers and hands on, must not meet a later one.
type replier struct {
	pool  *repliers
	id    *actor.PID // as registered
	pid   *actor.PID // of the wait
	reply chan any
	// state is the wait's number, shifted, and how far it is.
	state atomic.Uint64
	// late, if set, gets the answer that comes after the wait was given up. Set before state is abandoned.
	late func(any)
}

const (
	replierWaiting   = iota + 1
	replierClaimed   // waiting, and the write is being carried out
	replierAnswered  // the answer is there, or taken
	replierAbandoned // nobody waits; the write will not be carried out
	replierUnknown   // nobody waits; the write may have been carried out
	replierShift     = 3
)

var _ actor.Process = (*replier)(nil)

// SendUserMessage implements actor.Process: it takes the answer.
func (r *replier) SendUserMessage(pid *actor.PID, message any) {
	reply := actor.UnwrapEnvelopeMessage(message)
	if r.goes(pid, replierAnswered, replierWaiting, replierClaimed) {
		r.reply <- reply
		return
	}
	if r.goes(pid, replierAnswered, replierAbandoned, replierUnknown) {
		if r.late != nil {
			r.late(reply)
		}
		r.pool.put(r)
		return
	}
	// Nobody waits any more, as when the host's middleware has answered before.
	if snapshot, ok := reply.(*store.Snapshot); ok {
		_ = snapshot.Close()
	}
}

// replierAt returns the replier that a PID names, nil when it is somebody else's. A request id alone proves nothing: the
// framework's remote sets them too.
func replierAt(system *actor.ActorSystem, pid *actor.PID) *replier {
	if pid.GetRequestId() == 0 {
		return nil
	}
	process, _ := system.ProcessRegistry.Get(pid)
	r, _ := process.(*replier)
	return r
}

// goes changes the state of the wait that pid names from the first of from that it is in; false when it is in none, or is
// another wait.
func (r *replier) goes(pid *actor.PID, to uint64, from ...uint64) bool {
	wait := uint64(pid.GetRequestId()) << replierShift
	for _, state := range from {
		if r.state.CompareAndSwap(wait|state, wait|to) {
			return true
		}
	}
	return false
}

// claim is called before the write that pid waits for is carried out; false means that its caller has given up, and
// was told that nothing was written.
func (r *replier) claim(pid *actor.PID) bool {
	return r.goes(pid, replierClaimed, replierWaiting) ||
		r.state.Load() != uint64(pid.GetRequestId())<<replierShift|replierAbandoned
}

// SendSystemMessage implements actor.Process: a watched actor's end is an answer too.
func (r *replier) SendSystemMessage(pid *actor.PID, message any) { r.SendUserMessage(pid, message) }

// Stop implements actor.Process.
func (r *replier) Stop(*actor.PID) {}

const unknownHint = "read the key, or list the tables, to learn whether it was carried out; it may still come"

// await waits for the answer. When ctx ends first, the answer goes to late once it comes; the error matches
// messages.ErrOutcomeUnknown when it is that of a write which may be carried out all the same.
func (r *replier) await(ctx context.Context, late func(any)) (any, error) {
	select {
	case reply := <-r.reply:
		r.pool.put(r)
		return reply, nil
	case <-ctx.Done():
	}
	r.late = late
	switch {
	case r.goes(r.pid, replierAbandoned, replierWaiting):
		return nil, contextError(ctx)
	case r.goes(r.pid, replierUnknown, replierClaimed):
		return nil, messages.WithHint(fmt.Errorf("%w: %w", messages.ErrOutcomeUnknown, contextError(ctx)), unknownHint)
	}
	reply := <-r.reply
	r.pool.put(r)
	return reply, nil
}

// repliers is the pool.
type repliers struct {
	system *actor.ActorSystem
	prefix string

	mu     sync.Mutex
	free   []*replier
	closed bool
}

// mostFree bounds the repliers kept for reuse; each costs a few hundred bytes.
const mostFree = 4096

func newRepliers(system *actor.ActorSystem, name string) *repliers {
	return &repliers{system: system, prefix: name + "/reply"}
}

func (p *repliers) get() *replier {
	r := p.take()
	if r == nil {
		r = &replier{pool: p, reply: make(chan any, 1)}
		// The registry's ids never repeat, so this one is free.
		r.id, _ = p.system.ProcessRegistry.Add(r, p.prefix+p.system.ProcessRegistry.NextId())
	}
	// Never 0, for replierAt.
	wait := max(1, uint32(r.state.Load()>>replierShift)+1)
	r.state.Store(uint64(wait)<<replierShift | replierWaiting)
	r.pid = &actor.PID{Address: r.id.GetAddress(), Id: r.id.GetId(), RequestId: wait}
	return r
}

func (p *repliers) take() *replier {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return nil
	}
	r := p.free[n-1]
	p.free = p.free[:n-1]
	return r
}

func (p *repliers) put(r *replier) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.free) >= mostFree {
		p.system.ProcessRegistry.Remove(r.id)
		return
	}
	p.free = append(p.free, r)
}

// close forgets the free repliers; those in use are forgotten when they come back.
func (p *repliers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, r := range p.free {
		p.system.ProcessRegistry.Remove(r.id)
	}
	p.free = nil
}

// ask sends message to pid and waits for the answer, whose Failure is returned as an error.
func ask[T any](ctx context.Context, p *repliers, pid *actor.PID, message any) (T, error) {
	answer, _, err := askLate[T](ctx, p, pid, message, nil)
	if errors.Is(err, errNobody) {
		err = stoppedFailure()
	}
	return answer, err
}

// errNobody: there is no actor at the PID.
var errNobody = errors.New("nobody is there to answer")

// askLate is ask; where nobody is there the error is errNobody. When ctx ends first gaveUp is true, and late, unless nil,
// gets the answer once it comes.
func askLate[T any](ctx context.Context, p *repliers, pid *actor.PID, message any, late func(any)) (answer T, gaveUp bool, err error) {
	if ctx.Err() != nil {
		return answer, false, contextError(ctx)
	}
	r := p.get()
	p.system.Root.RequestWithCustomSender(pid, message, r.pid)
	reply, err := r.await(ctx, late)
	if err != nil {
		return answer, true, err
	}
	answer, err = answered[T](ctx, reply)
	return answer, false, err
}

// answered is a reply, or the error that it is.
func answered[T any](ctx context.Context, reply any) (answer T, err error) {
	switch m := reply.(type) {
	case T:
		return m, nil
	case *messages.Failure:
		if at, ok := ctx.Deadline(); ok && m.GetCode() == messages.Code_CODE_DEADLINE_EXCEEDED && !time.Now().Before(at) {
			// The table noticed before the context's timer did.
			return answer, fmt.Errorf("%w: %w", context.DeadlineExceeded, m)
		}
		return answer, m
	case *actor.DeadLetterResponse:
		return answer, errNobody
	}
	return answer, fmt.Errorf("answered with %T: %w", reply, messages.ErrInternal)
}

// contextError is why ctx ended. It matches the context's own error, and its cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

func stoppedFailure() *messages.Failure {
	return messages.Failf(messages.Code_CODE_UNAVAILABLE, "gabion is stopped").Advise("start it again")
}
