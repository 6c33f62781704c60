package actors

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// groupsInFlight bounds the groups between committer and acker. Pebble allows 4,095 and then blocks.
const groupsInFlight = 64

// group is a group of requests on its way from the committer to the acker.
type group struct {
	entries []*entry
	taken   time.Time
	commit  *store.Commit // nil when nothing was written
	// applied is set once a write may have reached the store.
	applied bool
	err     error // why the group was not applied
}

// operations is how many its writes have, of those that were refused too.
func (g *group) operations() (n int) {
	for _, e := range g.entries {
		if e.kind == writeEntry {
			n += len(e.ops)
		}
	}
	return n
}

// acker waits for each group's fsync, in order, and answers its requests: an acknowledgement needs the
// fsync to have succeeded, and a store that is not frozen. It also answers what wrote nothing but depends on
// earlier groups, in its place.
type acker struct {
	committer *committer
	groups    chan *group
	stopped   chan struct{}
	// letters are the answers of the group under way that go through the outbox, all at once.
	letters []letter
}

func newAcker(m *committer) *acker {
	return &acker{committer: m, groups: make(chan *group, groupsInFlight), stopped: make(chan struct{})}
}

// run is the acker's goroutine. A panic freezes the store and refuses what is left.
func (a *acker) run() {
	defer close(a.stopped)
	for g := range a.groups {
		a.handle(g)
	}
}

func (a *acker) handle(g *group) {
	acknowledged := false
	defer func() { a.committer.release(g, acknowledged) }()
	defer func() {
		if reason := recover(); reason != nil {
			err := fmt.Errorf("acker panicked: %v", reason)
			a.committer.fail(err, debug.Stack())
			a.refuse(g, err)
		}
	}()
	if err := a.wait(g); err != nil {
		a.committer.fail(err, nil)
		a.refuse(g, err)
		return
	}
	acknowledged = true
	defer a.send() // also after a panic: they are answered by no other way
	for _, e := range g.entries {
		if e.scans() && e.reply == nil {
			a.send() // before a reader answers with the page: one sender's answers come in order
			a.committer.cell.readers.page(e)
			continue
		}
		if l, ok := e.letter(e.reply); ok {
			a.letters = append(a.letters, l)
		}
	}
}

// send puts the letters into the outbox.
func (a *acker) send() {
	if len(a.letters) > 0 {
		a.committer.cell.outbox.put(a.letters...)
	}
	clear(a.letters)
	a.letters = a.letters[:0]
}

// wait returns nil once everything the group shows is durable.
func (a *acker) wait(g *group) error {
	if g.commit != nil {
		// Also of a group that failed after it was applied: until then the store is in use.
		if err := g.commit.Wait(); err != nil {
			return err
		}
	}
	if g.err != nil || g.commit != nil {
		return g.err
	}
	// A group that wrote nothing shows what earlier ones wrote: all of them were waited for, in order,
	// and none failed unless the store is frozen.
	if s := a.committer.store; s.Frozen() {
		return fmt.Errorf("%w: %w", store.ErrFrozen, s.FrozenBy())
	}
	return nil
}

// refuse answers a group that will never be acknowledged.
func (a *acker) refuse(g *group, cause error) {
	for _, e := range g.entries {
		e.closeSnapshot()
		// What was refused in its place was certainly not written.
		_, refused := e.reply.(*messages.Failure)
		e.answer(undurable(e, a.committer.cell.name, cause, g.applied && !refused))
	}
}

// undurable is the answer to a request whose group failed. applied tells whether a write may have
// reached the store.
func undurable(e *entry, table string, cause error, applied bool) *messages.Failure {
	failure := messages.Failf(messages.Code_CODE_UNAVAILABLE, "table failed before the request was durable: %v", cause).
		Of(table).After(retrySoon)
	if e.kind == writeEntry && applied {
		failure.OutcomeUnknown = true
		failure.Advise("read the key after the table has reopened: the write may be there")
	}
	return failure
}
