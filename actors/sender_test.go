package actors_test

import (
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

// sender is a process that keeps all it is answered.
type sender struct {
	h   *host
	pid *actor.PID

	mu  sync.Mutex
	got []any
}

// sender makes a process that requests are sent from.
func (h *host) sender() *sender {
	s := &sender{h: h}
	s.pid, _ = h.system.ProcessRegistry.Add(s, "sender"+h.system.ProcessRegistry.NextId())
	h.Cleanup(func() { h.system.ProcessRegistry.Remove(s.pid) })
	return s
}

func (s *sender) SendUserMessage(_ *actor.PID, message any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, actor.UnwrapEnvelopeMessage(message))
}

func (s *sender) SendSystemMessage(pid *actor.PID, message any) { s.SendUserMessage(pid, message) }
func (s *sender) Stop(*actor.PID)                               {}

// send sends a request from a sender of its own and returns the sender.
func (h *host) send(pid *actor.PID, message any) *sender {
	s := h.sender()
	h.system.Root.RequestWithCustomSender(pid, message, s.pid)
	return s
}

func (s *sender) answers() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// none wants that there is no answer yet.
func (s *sender) none(what string) {
	s.h.Helper()
	if got := s.answers(); len(got) != 0 {
		s.h.Errorf("%s was answered already: %v", what, got)
	}
}

// one wants exactly one answer and returns it; called when all is settled.
func (s *sender) one(what string) any {
	s.h.Helper()
	got := s.answers()
	if len(got) != 1 {
		s.h.Errorf("%s was answered %d times: %v, want once", what, len(got), got)
		return nil
	}
	return got[0]
}

// failure wants exactly one answer, a Failure of code.
func (s *sender) failure(what string, code messages.Code) *messages.Failure {
	s.h.Helper()
	f, ok := s.one(what).(*messages.Failure)
	if !ok || f.GetCode() != code {
		s.h.Errorf("%s was answered %v, want a Failure of %v", what, s.answers(), code)
		return &messages.Failure{}
	}
	return f
}

// committed wants exactly one answer, a Committed.
func (s *sender) committed(what string) uint64 {
	s.h.Helper()
	c, ok := s.one(what).(*messages.Committed)
	if !ok {
		s.h.Errorf("%s was answered %v, want Committed", what, s.answers())
	}
	return c.GetSeq()
}
