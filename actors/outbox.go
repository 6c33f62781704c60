package actors

import (
	"context"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// sendPatience is how long one answer may hold up those to other senders.
const sendPatience = 100 * time.Millisecond

// outbox sends the answers of one table, or of the tree, in order. It keeps the senders' code off our goroutines: a
// sender whose mailbox is full (actor.Bounded) blocks whoever answers it, and would hold up the
// acker, and with it everybody's writes. A sender that blocks gets a goroutine and a line of its own, until it
// has taken what waits for it; the others go on.
type outbox struct {
	system *actor.ActorSystem

	mu      sync.Mutex
	queue   []letter
	running *courier // sends what is queued; nil while nothing is
	// slow holds what waits for the senders that block, by PID.
	slow map[string][]letter
}

// letter is an answer, or, with flushed, a mark in the queue.
type letter struct {
	to      *actor.PID
	reply   any
	flushed chan struct{}
}

// courier is one goroutine that sends.
type courier struct {
	to   *actor.PID // whom it sends to now
	sent int        // to tell whether it moves
	seen int        // what sent was when the watch looked last
	// watch looks, while the courier works, whether it moves.
	watch *time.Timer
}

func newOutbox(system *actor.ActorSystem) *outbox {
	return &outbox{system: system, slow: make(map[string][]letter)}
}

// send sends reply to a sender, to nobody when it is nil. It never waits.
func (o *outbox) send(to *actor.PID, reply any) {
	if to == nil {
		return
	}
	if l, ok := o.letter(to, reply); ok {
		o.put(l)
	}
}

// letter is what is to be put into the outbox to send reply to a sender; false when it was sent at once.
func (o *outbox) letter(to *actor.PID, reply any) (letter, bool) {
	if r := replierAt(o.system, to); r != nil {
		r.SendUserMessage(to, reply) // which takes it at once
		return letter{}, false
	}
	return letter{to: to, reply: reply}, true
}

// put queues letters.
func (o *outbox) put(letters ...letter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, letters...)
	if o.running == nil {
		o.start()
	}
}

// start makes a courier. mu is held.
func (o *outbox) start() {
	c := &courier{}
	c.watch = time.AfterFunc(sendPatience, func() { o.look(c) })
	o.running = c
	go o.run(c)
}

func (o *outbox) run(c *courier) {
	for {
		l, ok := o.next(c)
		if !ok {
			return
		}
		deliver(o.system, l.to, l.reply)
	}
}

// next is what the courier sends next; false ends it.
func (o *outbox) next(c *courier) (letter, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.sent++
	if o.running != c {
		// Overtaken: the line of the sender that blocked it is all that it still serves.
		to := address(c.to)
		line := o.slow[to]
		if len(line) == 0 {
			delete(o.slow, to)
			return letter{}, false
		}
		o.slow[to] = line[1:]
		return line[0], true
	}
	for len(o.queue) > 0 {
		l := o.queue[0]
		o.queue[0] = letter{}
		o.queue = o.queue[1:]
		if l.flushed != nil {
			close(l.flushed)
			continue
		}
		c.to = l.to
		if len(o.slow) == 0 {
			return l, true
		}
		to := address(l.to)
		line, blocks := o.slow[to]
		if !blocks {
			return l, true
		}
		o.slow[to] = append(line, l)
	}
	o.queue = nil
	o.running = nil
	c.watch.Stop()
	return letter{}, false
}

// look lets another courier go on when c has not moved since the last look.
func (o *outbox) look(c *courier) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.running != c:
	case c.sent != c.seen:
		c.seen = c.sent
		c.watch.Reset(sendPatience)
	default:
		o.slow[address(c.to)] = nil
		o.start()
	}
}

// flush waits until everything queued before was sent, but for what waits for senders that block, or ctx ends.
func (o *outbox) flush(ctx context.Context) {
	mark := letter{flushed: make(chan struct{})}
	o.put(mark)
	select {
	case <-mark.flushed:
	case <-ctx.Done():
	}
}

func address(pid *actor.PID) string { return pid.GetAddress() + "/" + pid.GetId() }

// deliver runs the sender's code on our goroutine: a panic in it is the sender's loss alone, and must neither freeze a
// store nor end the process.
func deliver(system *actor.ActorSystem, to *actor.PID, reply any) {
	defer func() {
		if reason := recover(); reason != nil {
			system.Logger().Error("sender panicked on its answer", "sender", to.GetId(), "reason", reason)
		}
	}()
	system.Root.Send(to, reply)
}
