package actors

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

// answerer is an actor that can name the request it is receiving.
type answerer interface {
	// receiving returns the request, nil when the message asked for no answer or was not yet one.
	receiving() *request
	// forget is called before each message: the one before is in other hands, or answered.
	forget()
}

// guard is the outermost middleware of owners and the coordinator. A panic on a user message answers
// its sender INTERNAL, unless the request is already in other hands, and goes on to the supervisor,
// which restarts the actor. A panic in a lifecycle message ends here: the framework would bring the actor
// back to life, or leave its parent waiting for ever.
func guard(logger *slog.Logger, name string, m *mailbox) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			switch message := envelope.Message.(type) {
			case *lastMessage:
				// Not for the host's middleware, which may panic on what it does not know.
				close(message.reached)
				return
			case *actor.Stopped:
				m.ended.Store(true)
			}
			defer func() {
				reason := recover()
				if reason == nil {
					return
				}
				logger.Error("actor panicked", "actor", name, "message", fmt.Sprintf("%T", envelope.Message),
					"reason", reason, "stack", string(debug.Stack()))
				if isLifecycle(envelope.Message) {
					return
				}
				answerPanicked(c, envelope, name)
				if m.closed.Load() {
					// A supervisor that is stopping restarts nobody: what is queued is received all the same.
					return
				}
				panic(reason)
			}()
			if a, ok := c.Actor().(answerer); ok {
				a.forget()
			}
			next(c, envelope)
		}
	}
}

// guardSupervisor is the supervisor's: nothing it receives may restart it, for that would stop every child.
func guardSupervisor(logger *slog.Logger, name string, m *mailbox) actor.ReceiverMiddleware {
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
			if _, ok := envelope.Message.(*actor.Stopped); ok {
				m.ended.Store(true)
			}
			defer func() {
				if reason := recover(); reason != nil {
					logger.Error("supervisor panicked", "actor", name, "message", fmt.Sprintf("%T", envelope.Message),
						"reason", reason, "stack", string(debug.Stack()))
					if !isLifecycle(envelope.Message) {
						answerPanicked(c, envelope, name)
					}
				}
			}()
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

func answerPanicked(c actor.ReceiverContext, envelope *actor.MessageEnvelope, name string) {
	failure := messages.Failf(messages.Code_CODE_INTERNAL, "%s panicked on %T; it was not carried out", name, envelope.Message).
		Advise("the log has the stack; other requests are not affected")
	if a, ok := c.Actor().(answerer); ok {
		if r := a.receiving(); r != nil {
			if !r.taken.Load() {
				r.answer(failure)
			}
			return
		}
	}
	send(c.ActorSystem(), envelope.Sender, failure)
}
