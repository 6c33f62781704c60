package actors

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// adoption asks the supervisor to spawn the owner of a table that is new. Where there is one of that name already, member
// is that one afterwards.
type adoption struct {
	member *member
	done   chan error
}

// retirement tells the supervisor that a table was dropped: its owner is to end.
type retirement struct{ cell *cell }

// adopt answers at once, or, where an owner of the same name is still on its way out, once that has ended.
func (s *supervisor) adopt(c actor.Context, a *adoption) {
	name := a.member.name
	if old := s.tree.members.find(name); old != nil && old.dropped.Load() {
		s.retire(c, old.cell) // its own retirement is still on the way
	}
	if waiting, leaves := s.leaving[name]; leaves {
		s.leaving[name] = append(waiting, a)
		return
	}
	a.done <- s.spawnMember(c, a)
}

func (s *supervisor) spawnMember(c actor.Context, a *adoption) error {
	m := a.member
	if !s.tree.members.add(m) {
		if other := s.tree.members.find(m.name); other != nil && !other.dropped.Load() {
			a.member = other // somebody else was faster
			return nil
		}
		return stoppedFailure()
	}
	go m.keep()
	if err := s.spawnOwner(c, m); err != nil {
		s.tree.members.remove(m)
		go func() { _ = m.stop(context.Background()) }()
		return fmt.Errorf("spawn owner: %w", err)
	}
	return nil
}

// retire forgets a table whose keeper has ended, and has its owner end: what is still queued, and what comes, is answered.
func (s *supervisor) retire(c actor.Context, dropped *cell) {
	m, pid := s.tree.members.leave(dropped)
	if m == nil {
		return // retired already, or everything ends
	}
	if s.leaving == nil {
		s.leaving = make(map[string][]*adoption)
	}
	s.leaving[m.name] = nil
	m.mailbox.retire()
	c.Stop(pid)
	// A panic just before left the mailbox suspended, and what is queued must be answered.
	m.mailbox.Mailbox.PostSystemMessage(&actor.ResumeMailbox{})
}

// left goes on with whoever waits for the name of an owner that has ended.
func (s *supervisor) left(c actor.Context, pid *actor.PID) {
	for name, waiting := range s.leaving {
		if pid.GetId() != c.Self().GetId()+"/"+name {
			continue
		}
		delete(s.leaving, name)
		for _, a := range waiting {
			a.done <- s.spawnMember(c, a)
		}
		return
	}
}
