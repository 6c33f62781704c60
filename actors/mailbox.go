package actors

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

// mailbox is the framework's unbounded mailbox, less its traps: a nil message would make it spin for
// ever, a batch would be delivered beside its parts, a message that arrives while the actor stops
// would vanish, with the sender waiting, and one that arrives while it is spawned would panic, in the sender.
type mailbox struct {
	actor.Mailbox
	out  *outbox
	name string
	// closed refuses user messages, by an answer.
	closed atomic.Bool
	// posting counts the posts under way, so that close knows when the last one is in.
	posting atomic.Int64
	// mayStop lets the framework's Stop and PoisonPill through. Before Gabion stops, nobody else may stop
	// an owner: what it had queued would be lost.
	mayStop atomic.Bool
	// dropped is set, before closed, where the table was dropped: what comes is answered NOT_FOUND.
	dropped atomic.Bool
	// ended is set once the actor has stopped: what is left is answered without it.
	ended atomic.Bool

	// started is set once the actor has begun. The framework makes a PID known before it has told the mailbox who
	// receives; what comes in between is kept in early.
	started atomic.Bool
	mu      sync.Mutex
	early   []earlyMessage
}

type earlyMessage struct {
	message any
	system  bool
}

func newMailbox(out *outbox, name string) *mailbox {
	return &mailbox{Mailbox: actor.Unbounded()(), out: out, name: name}
}

func (m *mailbox) PostUserMessage(message any) {
	payload, sender := message, (*actor.PID)(nil)
	if envelope, ok := message.(*actor.MessageEnvelope); ok {
		if envelope == nil {
			return
		}
		payload, sender = envelope.Message, envelope.Sender
	}
	switch p := payload.(type) {
	case nil:
		m.out.send(sender, messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "message is nil").
			Advise("send a message of package messages"))
		return
	case *actor.PoisonPill:
		if !m.mayStop.Load() {
			return
		}
	case actor.SystemMessage, actor.AutoReceiveMessage:
		// The framework never tells an actor of its life this way, and nobody else may.
		m.out.send(sender, notUnderstood(m.name, p))
		return
	case actor.MessageBatch:
		for _, part := range p.GetMessages() {
			m.PostUserMessage(&actor.MessageEnvelope{Message: part, Sender: sender})
		}
		return
	}
	m.posting.Add(1)
	if m.closed.Load() {
		m.posting.Add(-1)
		m.refuseStopping(sender)
		return
	}
	if !m.keep(message, false) {
		m.Mailbox.PostUserMessage(message)
	}
	m.posting.Add(-1)
}

func (m *mailbox) PostSystemMessage(message any) {
	if _, ok := message.(*actor.Stop); ok && !m.mayStop.Load() {
		return
	}
	// The framework posts Started itself, right before Start.
	if _, ok := message.(*actor.Started); !ok && m.keep(message, true) {
		return
	}
	m.Mailbox.PostSystemMessage(message)
}

// Start implements actor.Mailbox.
func (m *mailbox) Start() {
	m.Mailbox.Start()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.early {
		if e.system {
			m.Mailbox.PostSystemMessage(e.message)
		} else {
			m.Mailbox.PostUserMessage(e.message)
		}
	}
	m.early = nil
	m.started.Store(true)
}

// keep keeps a message that comes before the actor has begun, to be posted then; false when it has.
func (m *mailbox) keep(message any, system bool) bool {
	if m.started.Load() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started.Load() {
		return false
	}
	m.early = append(m.early, earlyMessage{message, system})
	return true
}

// retire refuses what comes from now on, for a table that was dropped, and lets the actor stop.
func (m *mailbox) retire() {
	m.dropped.Store(true)
	m.closed.Store(true)
	m.mayStop.Store(true)
}

func (m *mailbox) refuseStopping(sender *actor.PID) {
	if m.dropped.Load() {
		m.out.send(sender, droppedFailure(m.name))
		return
	}
	m.out.send(sender, messages.Failf(messages.Code_CODE_UNAVAILABLE, "%s is stopping", m.name).Of(m.name).
		Advise("send to it again after the next start"))
}

// RegisterHandlers implements actor.Mailbox.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.Mailbox.RegisterHandlers(&endingInvoker{MessageInvoker: invoker, mailbox: m}, dispatcher)
}

// endingInvoker answers what is left in the mailbox of an actor that has stopped. The framework would drop it.
type endingInvoker struct {
	actor.MessageInvoker
	mailbox *mailbox
}

// InvokeUserMessage implements actor.MessageInvoker.
func (i *endingInvoker) InvokeUserMessage(message any) {
	if !i.mailbox.ended.Load() {
		i.MessageInvoker.InvokeUserMessage(message)
		return
	}
	if envelope, ok := message.(*actor.MessageEnvelope); ok {
		i.mailbox.refuseStopping(envelope.Sender)
	}
}

// lastMessage is the last that a mailbox delivers: everything accepted before it was received when
// reached is closed.
type lastMessage struct{ reached chan struct{} }

// drain refuses what comes from now on, and waits until the actor has received all that came before, or ctx ends.
// It may be called once.
func (m *mailbox) drain(ctx context.Context) {
	m.closed.Store(true)
	// A panic just before left the mailbox suspended, and a supervisor that is stopping does not restart it.
	m.Mailbox.PostSystemMessage(&actor.ResumeMailbox{})
	for m.posting.Load() > 0 {
		runtime.Gosched()
	}
	last := &lastMessage{reached: make(chan struct{})}
	m.Mailbox.PostUserMessage(last)
	select {
	case <-last.reached:
	case <-ctx.Done():
	}
}
