package actors_test

import (
	"path"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
)

// intercepted has the host's middle receive what owners and the coordinator do. Handles then send messages.
func intercepted(config actors.Config) actors.Config {
	config.Middleware = []actor.ReceiverMiddleware{}
	return config
}

// bothWays runs a test with handles whose calls are carried out on the caller's goroutine, and with such as send messages.
func bothWays(t *testing.T, config actors.Config, test func(h *host)) {
	t.Helper()
	t.Run("called", func(t *testing.T) { bubble(t, config, test) })
	t.Run("sent", func(t *testing.T) { bubble(t, intercepted(config), test) })
}

// middleware calls what a test sets, around the messages of owners and the coordinator.
type middleware struct {
	mu     sync.Mutex
	before func(actor string, message any)
	after  func(actor string, message any)
}

func (m *middleware) set(before, after func(actor string, message any)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before, m.after = before, after
}

func (m *middleware) get() (before, after func(actor string, message any)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.before, m.after
}

func (m *middleware) receive(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		before, after := m.get()
		name := path.Base(c.Self().GetId())
		message := envelope.Message
		if before != nil {
			before(name, message)
		}
		next(c, envelope)
		if after != nil {
			after(name, message)
		}
	}
}
