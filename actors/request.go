package actors

import (
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// request is one message that asks for an answer, on its way through an actor, a cell and back.
type request struct {
	out    *outbox
	sender *actor.PID // nil: nobody waits for an answer, unless waiter does
	waiter *waiter    // the caller that waits in the place of a sender; nil: none
	// deadline is when the sender stops waiting; zero: never.
	deadline time.Time

	// answered makes the first answer the only one.
	answered atomic.Bool
	// taken is set once somebody other than the receiving actor is bound to answer: after a panic the
	// guard answers only a request that was not.
	taken atomic.Bool

	// Owned by the committer, then by the acker.
	reply    proto.Message
	snapshot *store.Snapshot
}

// answer sends the reply, unless one was sent before. Any goroutine may call it; it never waits.
func (r *request) answer(reply proto.Message) {
	if l, ok := r.letter(reply); ok {
		r.out.put(l)
	}
}

// letter is answer for those that are answered together: a reply that goes through the outbox is returned, for the caller
// to put there.
func (r *request) letter(reply any) (letter, bool) {
	if !r.answered.CompareAndSwap(false, true) {
		return letter{}, false
	}
	return r.give(reply)
}

// give is letter for who has set answered.
func (r *request) give(reply any) (letter, bool) {
	switch {
	case r.waiter != nil:
		r.waiter.answer(reply)
	case r.sender != nil:
		return r.out.letter(r.sender, reply)
	}
	return letter{}, false
}

// claim is called once, before a write is carried out; false means that its sender has given up and was told that
// nothing was written. Any other sender can only set a deadline.
func (r *request) claim() bool {
	if r.waiter != nil {
		return r.waiter.claim()
	}
	replier := replierAt(r.out.system, r.sender)
	return replier == nil || replier.claim(r.sender)
}

// hand sends the snapshot, or a reply that holds it: the receiver closes it. One that nobody waits for stays the
// request's.
func (r *request) hand(reply any) {
	if r.sender == nil && r.waiter == nil || !r.answered.CompareAndSwap(false, true) {
		return
	}
	r.snapshot = nil
	if l, ok := r.give(reply); ok {
		r.out.put(l)
	}
}

// closeSnapshot closes the snapshot that was not handed over.
func (r *request) closeSnapshot() {
	if r.snapshot != nil {
		_ = r.snapshot.Close()
		r.snapshot = nil
	}
}

// expired tells whether nobody waits for the answer any more.
func (r *request) expired(now time.Time) bool {
	return !r.deadline.IsZero() && now.After(r.deadline)
}

func asTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// Failures every actor gives.

func unavailable(table, why string, wait time.Duration) *messages.Failure {
	return messages.Failf(messages.Code_CODE_UNAVAILABLE, "%s", why).Of(table).After(wait)
}

func expiredFailure(table string) *messages.Failure {
	return messages.Failf(messages.Code_CODE_DEADLINE_EXCEEDED, "request expired before its commit; nothing was written").Of(table).
		Advise("send again with more time")
}

func notUnderstood(who string, message any) *messages.Failure {
	return messages.Failf(messages.Code_CODE_UNIMPLEMENTED, "%s does not understand %T", who, message).
		Advise("see the messages of package messages, and which actor answers each")
}
