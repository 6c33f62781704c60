package actors

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
)

// answerer is an actor that can name the request it is receiving.
type answerer interface {
	// receiving returns the request, nil when the message asked for no answer or was not yet one.
	receiving() *request
	// forget is called before each message: the one before is in other hands, or answered.
	forget()
}

// guard is the outermost middleware of every actor of the tree. A panic on a user message answers its sender
// INTERNAL, unless the request is already in other hands; then it goes on to the supervisor, which restarts the
// actor. It ends here where restarts is false: the supervisor itself, whose restart would stop every child. A
// panic in a lifecycle message ends here too: the framework would bring the actor back to life, or leave its parent
// waiting for ever.
func (t *tree) guard(m *mailbox, name string, restarts bool) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			switch message := envelope.Message.(type) {
			case *lastMessage:
				// Not for the host's middleware, which may panic on what it does not know.
				close(message.reached)
				return
			case *actor.Stopped:
				m.ended.Store(true)
				if m.dropped.Load() {
					t.graves.dig(m.name, c.Self())
				}
			}
			defer func() {
				reason := recover()
				if reason == nil {
					return
				}
				t.config.Logger.Error("actor panicked", "actor", name, "message", fmt.Sprintf("%T", envelope.Message),
					"reason", reason, "stack", string(debug.Stack()))
				if isLifecycle(envelope.Message) {
					return
				}
				m.answerPanicked(c, envelope, name)
				// A supervisor that is stopping restarts nobody: what is queued is received all the same.
				if restarts && !m.closed.Load() {
					panic(reason)
				}
			}()
			if a, ok := c.Actor().(answerer); ok {
				a.forget()
			}
			next(c, envelope)
		}
	}
}

func isLifecycle(message any) bool {
	switch message.(type) {
	case *actor.Started, *actor.Stopping, *actor.Stopped, *actor.Restarting, *actor.Terminated:
		return true
	}
	return false
}

func (m *mailbox) answerPanicked(c actor.ReceiverContext, envelope *actor.MessageEnvelope, name string) {
	failure := panickedFailure(name, envelope.Message)
	if a, ok := c.Actor().(answerer); ok {
		if r := a.receiving(); r != nil {
			if !r.taken.Load() {
				r.answer(failure)
			}
			return
		}
	}
	m.out.send(envelope.Sender, failure)
}
