package actors

import (
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// slowMailbox takes its first user message only a good while after it was resumed.
type slowMailbox struct {
	actor.Mailbox
	entered, resumed chan struct{}
	mu               sync.Mutex
	got              []any
}

func (s *slowMailbox) PostUserMessage(message any) {
	if _, last := message.(*lastMessage); !last {
		close(s.entered)
		<-s.resumed
		for range 10_000 {
			runtime.Gosched()
		}
	}
	s.mu.Lock()
	s.got = append(s.got, message)
	s.mu.Unlock()
	if last, ok := message.(*lastMessage); ok {
		close(last.reached)
	}
}

func (s *slowMailbox) PostSystemMessage(any) { close(s.resumed) }

// TestDrainWaitsForPosts: a message whose post was under way when the mailbox closed is received before the last one. Behind
// it nobody would answer it.
func TestDrainWaitsForPosts(t *testing.T) {
	slow := &slowMailbox{entered: make(chan struct{}), resumed: make(chan struct{})}
	m := newMailbox(nil, "tasks")
	m.Mailbox = slow
	m.started.Store(true)
	posted := make(chan struct{})
	go func() { m.PostUserMessage("a request"); close(posted) }()
	<-slow.entered
	m.drain(t.Context())
	<-posted
	if i := slices.IndexFunc(slow.got, func(message any) bool { _, last := message.(*lastMessage); return last }); i != 1 || len(slow.got) != 2 {
		t.Errorf("received %v: the last message is not behind the request", slow.got)
	}
}

// TestStallEndsWhenBothResume: a committer that goes on does not end the stall of its acker, nor the other way round.
func TestStallEndsWhenBothResume(t *testing.T) {
	m := &committer{cell: &cell{logger: slog.New(slog.DiscardHandler)}, stall: true}
	for _, other := range []*watch{&m.acking, &m.committing} {
		other.hangs.Store(true)
		m.resumed()
		if !m.stall {
			t.Error("the stall ended while one of them hangs")
		}
		other.hangs.Store(false)
	}
	m.resumed()
	if m.stall {
		t.Error("the stall goes on though nothing hangs")
	}
}
