package actors

import (
	"context"
	"iter"

	"github.com/gabiondb/gabion/messages"
)

// FollowEvents yields what Events yields for m, and then the events to come, each once and in order, until ctx ends,
// which is the error of the last pair, or Stop. m.Limit does not count.
//
// A log that cannot be read is one pair with an error; who goes on gets the events to come. Who falls behind by more
// than 1,024 events, and by more than the log holds, finds a gap in the numbers. Following holds up nobody.
func (g *Gabion) FollowEvents(ctx context.Context, m *messages.ListEvents) iter.Seq2[*messages.LoggedEvent, error] {
	return func(yield func(*messages.LoggedEvent, error) bool) {
		coming, left := make(chan published), make(chan struct{})
		// Before the log is read, so that nothing falls between the two.
		s, newest := g.tree.publisher.follow(func(e published) {
			select {
			case coming <- e:
			case <-left:
			}
		}, func() {})
		defer g.tree.publisher.leave(s)
		defer close(left)
		// A number of the future is one of another directory: what comes has lower ones.
		f := follower{g: g, ctx: ctx, yield: yield, last: min(m.GetAfter(), newest)}
		if f.logged(m) {
			f.live(coming, s.gone)
		}
	}
}

// NewestEvent is the number of the event that was published last, 0 before the first: whoever follows from it on misses none that
// comes.
func (g *Gabion) NewestEvent() uint64 { return g.tree.publisher.newest() }

// follower is what one FollowEvents has yielded.
type follower struct {
	g     *Gabion
	ctx   context.Context
	yield func(*messages.LoggedEvent, error) bool
	last  uint64
}

// logged yields the events of the log. It returns false when nobody wants more.
func (f *follower) logged(m *messages.ListEvents) bool {
	m = &messages.ListEvents{After: m.GetAfter(), Since: m.GetSince()}
	for e, err := range f.g.Events(f.ctx, m) {
		if err != nil {
			return f.ctx.Err() != nil || f.yield(nil, err)
		}
		if !f.next(e) {
			return false
		}
	}
	return true
}

// live yields the events to come.
func (f *follower) live(coming <-chan published, gone <-chan struct{}) {
	for {
		select {
		case e := <-coming:
			if !f.caughtUp(e) || !f.next(e.logged()) {
				return
			}
		case <-gone:
			return
		case <-f.ctx.Done():
			f.yield(nil, context.Cause(f.ctx))
			return
		}
	}
}

// caughtUp yields what the subscriber missed before e, as far as the log has it.
func (f *follower) caughtUp(e published) bool {
	if f.last == 0 || e.seq <= f.last+1 {
		return true
	}
	for missed, err := range f.g.Events(f.ctx, &messages.ListEvents{After: f.last}) {
		if err != nil || missed.GetSeq() >= e.seq {
			return true
		}
		if !f.next(missed) {
			return false
		}
	}
	return true
}

// next yields an event, unless it was yielded before.
func (f *follower) next(e *messages.LoggedEvent) bool {
	if e.GetSeq() <= f.last {
		return true
	}
	f.last = e.GetSeq()
	return f.yield(e, nil)
}
