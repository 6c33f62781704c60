package actors

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// eventsQueued bounds the events that wait for one subscriber. Past it events are dropped, but never
// BackupComplete.
const eventsQueued = 1024

// publisher hands events to subscribers, each on a goroutine of its own: one that blocks or panics holds
// up nobody but itself. The actor system's event stream is one such subscriber; on it, the framework lets
// a handler hold up those that subscribed later.
type publisher struct {
	logger *slog.Logger

	mu          sync.Mutex
	seq         uint64 // the number of the newest event
	subscribers map[*subscriber]struct{}
	stopping    bool
	running     sync.WaitGroup
}

// published is an event as it waits for a subscriber.
type published struct {
	event proto.Message
	seq   uint64
	at    time.Time
	// reached is closed in place of handling anything, where it is set.
	reached chan struct{}
}

// subscriber is one handler and what waits for it.
type subscriber struct {
	handle func(published)
	logger *slog.Logger
	// gone is closed when nothing is handled any more.
	gone chan struct{}

	mu      sync.Mutex
	wake    sync.Cond
	queue   []published
	dropped int
	ended   bool
}

func newPublisher(logger *slog.Logger) *publisher {
	return &publisher{logger: logger, subscribers: make(map[*subscriber]struct{})}
}

// publish queues event for every subscriber. It never waits. The event must not change afterwards.
func (p *publisher) publish(event proto.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq++
	e := published{event: event, seq: p.seq, at: time.Now()}
	for s := range p.subscribers {
		s.push(e)
	}
}

// newest is the number of the last event.
func (p *publisher) newest() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seq
}

// begin makes the next event's number the one after last.
func (p *publisher) begin(last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq = last
}

// subscribe calls handle for every event from now on, one after another, until cancel is called. cancel does
// not wait for a call under way, and may be called from within it, any number of times.
func (p *publisher) subscribe(handle func(event proto.Message)) (cancel func()) {
	s, _ := p.follow(func(e published) { handle(e.event) }, func() {})
	return func() { p.leave(s) }
}

// leave ends a subscription, without waiting for a call under way.
func (p *publisher) leave(s *subscriber) {
	p.mu.Lock()
	delete(p.subscribers, s)
	p.mu.Unlock()
	s.end(true)
}

// follow is subscribe for what is published with its number, from the one after newest on. finish is called when nothing
// is handled any more.
func (p *publisher) follow(handle func(published), finish func()) (_ *subscriber, newest uint64) {
	s := &subscriber{handle: handle, logger: p.logger, gone: make(chan struct{})}
	s.wake.L = &s.mu
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		close(s.gone)
		return s, p.seq
	}
	p.subscribers[s] = struct{}{}
	p.running.Go(func() {
		defer close(s.gone)
		defer finish()
		s.run()
	})
	return s, p.seq
}

// stopGrace is how long stop waits for handlers to finish what is queued.
const stopGrace = time.Second

// stop lets every subscriber handle what it has queued, and waits for that, but not for long: a handler
// that blocks is left behind.
func (p *publisher) stop(ctx context.Context) {
	p.mu.Lock()
	p.stopping = true
	for s := range p.subscribers {
		s.end(false)
	}
	clear(p.subscribers)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		p.running.Wait()
	}()
	select {
	case <-idle:
	case <-ctx.Done():
		p.logger.Warn("an event subscriber does not return")
	}
}

func (s *subscriber) push(e published) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= eventsQueued && !s.makeRoom(e) {
		s.dropped++
		return
	}
	s.queue = append(s.queue, e)
	s.wake.Signal()
}

// reach waits until what was published before is handled, or nothing is any more.
func (s *subscriber) reach() {
	e := published{reached: make(chan struct{})}
	s.push(e)
	select {
	case <-e.reached:
	case <-s.gone:
	}
}

// makeRoom drops the oldest event that may be dropped for one that may not.
func (s *subscriber) makeRoom(e published) bool {
	if !vital(e) {
		return false
	}
	if i := slices.IndexFunc(s.queue, func(e published) bool { return !vital(e) }); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.dropped++
	}
	return true
}

func vital(e published) bool {
	_, ok := e.event.(*messages.BackupComplete)
	return ok || e.reached != nil
}

// end lets run return, at once or after what is queued.
func (s *subscriber) end(atOnce bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if atOnce {
		s.queue = nil
	}
	s.wake.Signal()
}

func (s *subscriber) run() {
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.ended {
			s.wake.Wait()
		}
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		e := s.queue[0]
		s.queue[0] = published{}
		s.queue = s.queue[1:]
		dropped := s.dropped
		s.dropped = 0
		s.mu.Unlock()
		if dropped > 0 {
			s.logger.Warn("event subscriber is too slow", "dropped", dropped)
		}
		if e.reached != nil {
			close(e.reached)
			continue
		}
		s.call(e)
	}
}

func (s *subscriber) call(e published) {
	defer func() {
		if reason := recover(); reason != nil {
			s.logger.Error("event subscriber panicked", "event", fmt.Sprintf("%T", e.event), "reason", reason,
				"stack", string(debug.Stack()))
		}
	}()
	s.handle(e)
}
