package actors

import (
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

// strangersKept is how many PIDs of tables that never existed are answered at once. Whoever asks for the PIDs of ever more
// names costs no more memory than that.
const strangersKept = 1024

// grave stands at the PID of a table that was dropped, or of a table that never existed, and answers what is sent
// there. It has no actor, no queue and no goroutine.
type grave struct {
	graves *graves
	pid    *actor.PID
	table  string
	answer func(table string) *messages.Failure
}

var _ actor.Mailbox = (*grave)(nil)

// PostUserMessage implements actor.Mailbox.
func (g *grave) PostUserMessage(message any) {
	_, payload, sender := actor.UnwrapEnvelope(message)
	switch p := payload.(type) {
	case *actor.PoisonPill:
	case actor.MessageBatch:
		for range p.GetMessages() {
			g.graves.out.send(sender, g.answer(g.table))
		}
	default:
		g.graves.out.send(sender, g.answer(g.table))
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

// graves are those of a tree: one for each name that was dropped and not made again, and one for each of the last
// strangersKept names whose PID was asked for and that no table has.
type graves struct {
	system *actor.ActorSystem
	out    *outbox

	mu  sync.Mutex
	all map[string]*actor.PID
	// strangers are the names in all that no table had, the oldest first.
	strangers []string
	closed    bool
}

// dig puts a grave where an owner was; the framework has just forgotten its PID.
func (s *graves) dig(table string, pid *actor.PID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(table) // of somebody who asked for the PID after the framework forgot it
	s.place(table, pid, droppedFailure)
}

// meet puts a grave at the PID of a table that does not exist. exists is asked again under the lock: where a table
// of that name appears, its member is known before fill takes the grave away.
func (s *graves) meet(table string, pid *actor.PID, exists func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[table] != nil || exists() || !s.place(table, pid, missingFailure) {
		return
	}
	s.strangers = append(s.strangers, table)
	if len(s.strangers) > strangersKept {
		s.remove(s.strangers[0])
	}
}

// place registers a grave; false where another process has the PID, or all graves are closed. mu is held.
func (s *graves) place(table string, pid *actor.PID, answer func(string) *messages.Failure) bool {
	if s.closed {
		return false
	}
	g := &grave{graves: s, pid: pid, table: table, answer: answer}
	// As an actor's process: PIDs that remember it look again once it is removed.
	if _, ok := s.system.ProcessRegistry.Add(actor.NewActorProcess(g), pid.GetId()); !ok {
		return false
	}
	if s.all == nil {
		s.all = make(map[string]*actor.PID)
	}
	s.all[table] = pid
	return true
}

// fill takes a table's grave away, if there is one: its PID is about to be an owner's again.
func (s *graves) fill(table string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(table)
}

// remove is fill with mu held.
func (s *graves) remove(table string) {
	pid := s.all[table]
	if pid == nil {
		return
	}
	s.system.ProcessRegistry.Remove(pid)
	delete(s.all, table)
	s.strangers = slices.DeleteFunc(s.strangers, func(name string) bool { return name == table })
}

// close takes all graves away; none is dug any more.
func (s *graves) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, pid := range s.all {
		s.system.ProcessRegistry.Remove(pid)
	}
	s.all, s.strangers = nil, nil
}

func droppedFailure(table string) *messages.Failure {
	return messages.Failf(messages.Code_CODE_NOT_FOUND, "no such table any more").Of(table).
		Advise("ListTables names the tables that are served")
}
