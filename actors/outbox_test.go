package actors_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// blockingSender is a sender that takes an answer only once its gate is open.
type blockingSender struct {
	*sender
	gate chan struct{}
}

func (h *host) blockingSender() *blockingSender {
	s := &blockingSender{sender: &sender{h: h}, gate: make(chan struct{})}
	s.pid, _ = h.system.ProcessRegistry.Add(s, "blocking"+h.system.ProcessRegistry.NextId())
	return s
}

func (s *blockingSender) SendUserMessage(pid *actor.PID, message any) {
	<-s.gate
	s.sender.SendUserMessage(pid, message)
}

// TestSenderThatBlocks: a sender that does not take its answers holds up nobody else, whatever it is answered by, and gets them
// all, in order, once it does.
func TestSenderThatBlocks(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "closed"}}, func(h *host) {
		if err := h.g.CloseTable(h.Context(), "closed"); err != nil {
			t.Fatal(err)
		}
		slow, slower := h.blockingSender(), h.blockingSender()
		const writes = 200
		for i := range writes {
			for _, s := range []*blockingSender{slow, slower} {
				h.system.Root.RequestWithCustomSender(h.pid("tasks"), put(fmt.Sprint(i), "v"), s.pid)
			}
		}
		for _, request := range []any{put("k", "v"), get("k"), &messages.Scan{}, "nonsense", nil} {
			h.system.Root.RequestWithCustomSender(h.pid("closed"), request, slow.pid)
			h.system.Root.RequestWithCustomSender(h.g.Coordinator(), request, slow.pid)
			h.system.Root.RequestWithCustomSender(h.g.Supervisor(), request, slow.pid)
		}
		begin := time.Now()
		var quick []*sender
		for _, pid := range []*actor.PID{h.pid("tasks"), h.pid("closed"), h.g.Coordinator(), h.g.Supervisor()} {
			quick = append(quick, h.send(pid, put("other", "v")))
		}
		h.put("tasks", "typed", "v")
		h.wantValue("tasks", "typed", "v")
		h.backup("tasks")
		pass(time.Second)
		h.settle()
		for _, s := range quick {
			s.one("request of another sender")
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("others were answered after %v", took)
		}
		slow.none("request of the sender that blocks")
		close(slow.gate)
		h.settle()
		slower.none("request of the other sender that blocks")
		var last uint64
		n := 0
		for _, answer := range slow.answers() {
			if c, ok := answer.(*messages.Committed); ok {
				n++
				if c.GetSeq() <= last {
					t.Errorf("seq %d was answered after %d", c.GetSeq(), last)
				}
				last = c.GetSeq()
			}
		}
		if n != writes || len(slow.answers()) != writes+15 {
			t.Errorf("%d writes of %d were answered, %d requests of %d", n, writes, len(slow.answers()), writes+15)
		}
		// It blocks no more: what comes is answered at once.
		h.system.Root.RequestWithCustomSender(h.pid("tasks"), get("other"), slow.pid)
		h.settle()
		if len(slow.answers()) != writes+16 {
			t.Error("a later request was not answered")
		}
		// Stop does not wait for it either.
		begin = time.Now()
		h.stop()
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("stop took %v", took)
		}
		close(slower.gate)
		h.settle()
		if n := len(slower.answers()); n != writes {
			t.Errorf("%d writes of %d were answered", n, writes)
		}
	})
}

// TestSenderWithRequestID: a PID that looks like a handle's, as the framework's remote makes them, is a sender like any other.
func TestSenderWithRequestID(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		s := h.blockingSender()
		h.system.Root.RequestWithCustomSender(h.pid("tasks"), put("a", "v"),
			&actor.PID{Address: s.pid.Address, Id: s.pid.Id, RequestId: 7})
		ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
		defer cancel()
		if _, err := h.g.Table("tasks").Put(ctx, []byte("b"), []byte("v")); err != nil {
			t.Error(err)
		}
		close(s.gate)
		h.settle()
		s.committed("put")
	})
}

// eagerSender sends its request again while it is given the answer.
type eagerSender struct {
	*sender
	ended atomic.Bool
}

func (s *eagerSender) SendUserMessage(_ *actor.PID, message any) {
	// Not on a dead letter, whose answer comes from within the request.
	if _, dead := actor.UnwrapEnvelopeMessage(message).(*actor.DeadLetterResponse); !dead && !s.ended.Load() {
		s.h.system.Root.RequestWithCustomSender(s.h.pid("tasks"), put("k", "v"), s.pid)
	}
}

// TestSenderThatNeverRests: a sender that asks again at once does not hold up Stop, for all that it is answered.
func TestSenderThatNeverRests(t *testing.T) {
	h := newHost(t, actors.Config{})
	s := &eagerSender{sender: &sender{h: h}}
	s.pid, _ = h.system.ProcessRegistry.Add(s, "eager")
	h.system.Root.RequestWithCustomSender(h.pid("tasks"), put("k", "v"), s.pid)
	h.put("tasks", "other", "v")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.g.Stop(ctx); err != nil {
		t.Errorf("stop = %v", err)
	}
	s.ended.Store(true)
}

// TestBoundedMailbox: the same with the framework's own mailbox that blocks.
func TestBoundedMailbox(t *testing.T) {
	h := newHost(t, actors.Config{})
	gate, taken := make(chan struct{}), make(chan struct{}, 10)
	slow := h.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*messages.Committed); ok {
			<-gate
			taken <- struct{}{}
		}
	}, actor.WithMailbox(actor.Bounded(2))))
	for i := range 10 {
		h.system.Root.RequestWithCustomSender(h.pid("tasks"), put(fmt.Sprint(i), "v"), slow)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := h.g.Table("tasks").Put(ctx, []byte("other"), []byte("v")); err != nil {
		t.Errorf("another sender's put = %v", err)
	}
	answer, err := h.system.Root.RequestFuture(h.pid("tasks"), put("other", "w"), time.Minute).Result()
	if _, ok := answer.(*messages.Committed); !ok {
		t.Errorf("another sender's future = %v, %v", answer, err)
	}
	close(gate)
	for range 10 {
		<-taken
	}
	_ = h.system.Root.StopFuture(slow).Wait()
}

// tardySender takes each answer after a while, that is less than what makes it a sender that blocks.
type tardySender struct{ *sender }

func (s *tardySender) SendUserMessage(pid *actor.PID, message any) {
	pass(50 * time.Millisecond)
	s.sender.SendUserMessage(pid, message)
}

// TestStopSendsAnswers: when Stop returns, what it answered was sent.
func TestStopSendsAnswers(t *testing.T) {
	for what, to := range map[string]func(h *host) *actor.PID{
		"owner":       func(h *host) *actor.PID { return h.pid("tasks") },
		"coordinator": func(h *host) *actor.PID { return h.g.Coordinator() },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				s := &tardySender{&sender{h: h}}
				s.pid, _ = h.system.ProcessRegistry.Add(s, "tardy")
				for range 20 {
					h.system.Root.RequestWithCustomSender(to(h), get("key"), s.pid)
				}
				h.stop()
				if n := len(s.answers()); n != 20 {
					t.Errorf("%d of 20 requests were answered when Stop returned", n)
				}
			})
		})
	}
}

// TestMiddlewareThatAnswersToo: a second answer to one request is not taken for the answer to the next.
func TestMiddlewareThatAnswersToo(t *testing.T) {
	denied := func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, e *actor.MessageEnvelope) {
			if p, ok := e.Message.(*messages.Put); ok && string(p.GetKey()) == "twice" {
				c.ActorSystem().Root.Send(e.Sender, messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "denied"))
			}
			next(c, e)
		}
	}
	bubble(t, actors.Config{Middleware: []actor.ReceiverMiddleware{denied}}, func(h *host) {
		release := h.fs.hang(h.T, walSync("tasks"))
		table := h.g.Table("tasks")
		if _, err := table.Put(h.Context(), []byte("twice"), []byte("v")); err == nil {
			t.Error("the first answer was not taken")
		}
		second := async(func() (string, error) {
			seq, err := table.Put(h.Context(), []byte("other"), []byte("v"))
			return fmt.Sprint(seq), err
		})
		h.settle()
		release()
		h.settle()
		second.want(h, "the next put", "2")
	})
}

// TestWalkThatMiddlewareAnswers leaves no snapshot open.
func TestWalkThatMiddlewareAnswers(t *testing.T) {
	denied := func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, e *actor.MessageEnvelope) {
			c.ActorSystem().Root.Send(e.Sender, messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "denied"))
			next(c, e)
		}
	}
	bubble(t, actors.Config{Middleware: []actor.ReceiverMiddleware{denied}}, func(h *host) {
		for range 5 {
			if err := h.g.Table("tasks").Walk(h.Context(), nil, func(_, _ []byte) error { return nil }); err == nil {
				t.Error("the first answer was not taken")
			}
		}
		h.settle()
		if n := h.g.Snapshots("tasks"); n != 0 {
			t.Errorf("%d snapshots are open", n)
		}
	})
}
