package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

// grave stands at the PID of a table that was dropped, and answers what is still sent there. It has no actor, no queue
// and no goroutine.
type grave struct {
	graves *graves
	pid    *actor.PID
	table  string
}

var _ actor.Mailbox = (*grave)(nil)

// PostUserMessage implements actor.Mailbox.
func (g *grave) PostUserMessage(message any) {
	_, payload, sender := actor.UnwrapEnvelope(message)
	switch p := payload.(type) {
	case *actor.PoisonPill:
	case actor.MessageBatch:
		for range p.GetMessages() {
			g.graves.out.send(sender, droppedFailure(g.table))
		}
	default:
		g.graves.out.send(sender, droppedFailure(g.table))
	}
}

// PostSystemMessage implements actor.Mailbox: who watches an actor that has ended is told so.
func (g *grave) PostSystemMessage(message any) {
	if watch, ok := message.(*actor.Watch); ok {
		if watcher, ok := g.graves.system.ProcessRegistry.Get(watch.Watcher); ok {
			watcher.SendSystemMessage(watch.Watcher, &actor.Terminated{Who: g.pid, Why: actor.TerminatedReason_NotFound})
		}
	}
}

// RegisterHandlers implements actor.Mailbox.
func (g *grave) RegisterHandlers(actor.MessageInvoker, actor.Dispatcher) {}

// Start implements actor.Mailbox.
func (g *grave) Start() {}

// UserMessageCount implements actor.Mailbox.
func (g *grave) UserMessageCount() int { return 0 }

// graves are those of a tree, one for each name that was dropped and not made again.
type graves struct {
	system *actor.ActorSystem
	out    *outbox

	mu     sync.Mutex
	all    map[string]*actor.PID
	closed bool
}

// dig puts a grave where an owner was; the framework has just forgotten its PID.
func (s *graves) dig(table string, pid *actor.PID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	g := &grave{graves: s, pid: pid, table: table}
	// As an actor's process: PIDs that remember it look again once it is removed.
	s.system.ProcessRegistry.Add(actor.NewActorProcess(g), pid.GetId())
	if s.all == nil {
		s.all = make(map[string]*actor.PID)
	}
	s.all[table] = pid
}

// fill takes a table's grave away, if there is one: its PID is about to be an owner's again.
func (s *graves) fill(table string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pid := s.all[table]; pid != nil {
		s.system.ProcessRegistry.Remove(pid)
		delete(s.all, table)
	}
}

// close takes all graves away; none is dug any more.
func (s *graves) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, pid := range s.all {
		s.system.ProcessRegistry.Remove(pid)
	}
	s.all = nil
}

func droppedFailure(table string) *messages.Failure {
	return messages.Failf(messages.Code_CODE_NOT_FOUND, "no such table any more").Of(table).
		Advise("ListTables names the tables that are served")
}
