package actors

import (
	"maps"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// member is one table of a tree: its cell, and its owner's mailbox. It is taken away only when the
// table is dropped; its PID stays good all the same (grave).
type member struct {
	*cell
	mailbox *mailbox
	pid     *actor.PID // the owner's, nil until it was spawned; guarded by members.mu
}

// members are the tables of a tree, and the PIDs of its actors.
type members struct {
	mu          sync.RWMutex
	all         map[string]*member
	coordinator *actor.PID // nil until it was spawned
	closed      bool       // Stop has begun: no table is added
}

// add makes a table known; false means that there is one of that name, or that Stop has begun.
func (s *members) add(m *member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.all[m.name] != nil {
		return false
	}
	if s.all == nil {
		s.all = make(map[string]*member)
	}
	s.all[m.name] = m
	return true
}

// find returns the member of a name, nil when there is none.
func (s *members) find(name string) *member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all[name]
}

// list returns the members, by name.
func (s *members) list() []*member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sorted()
}

// shown returns the members that are known, by name.
func (s *members) shown() []*member {
	return slices.DeleteFunc(s.list(), func(m *member) bool { return !m.known() })
}

// leave takes away the member of a dropped table and returns it, with its owner's PID; nil where it is away already, or
// Stop has begun, which ends all that are left.
func (s *members) leave(c *cell) (*member, *actor.PID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.all[c.name]
	if s.closed || m == nil || m.cell != c {
		return nil, nil
	}
	delete(s.all, c.name)
	return m, m.pid
}

// remove takes away a member whose owner could not be spawned.
func (s *members) remove(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, m.name)
}

func (s *members) sorted() []*member {
	all := make([]*member, 0, len(s.all))
	for _, name := range slices.Sorted(maps.Keys(s.all)) {
		all = append(all, s.all[name])
	}
	return all
}

// close returns the members, by name; none is added from then on.
func (s *members) close() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.sorted()
}

// spawned keeps the PID of a member's owner, or of the coordinator, where m is nil.
func (s *members) spawned(m *member, pid *actor.PID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m == nil {
		s.coordinator = pid
		return
	}
	m.pid = pid
}

// owner returns the PID of a table's owner, nil for an unknown table.
func (s *members) owner(name string) *actor.PID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.all[name]; m != nil {
		return m.pid
	}
	return nil
}

// ownedBy returns the member whose owner has a PID, nil when it is nobody's.
func (s *members) ownedBy(pid *actor.PID) *member {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.all {
		if m.pid.Equal(pid) {
			return m
		}
	}
	return nil
}

// backup returns the coordinator's PID.
func (s *members) backup() *actor.PID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.coordinator
}
