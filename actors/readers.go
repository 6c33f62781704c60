package actors

import (
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// readers runs a cell's reads beside its owner, on a bounded number of goroutines: a hung or cold disk
// silences neither the owner nor another table. Without reads there is no goroutine.
type readers struct {
	cell *cell
	most int

	mu      sync.Mutex
	queue   []func()
	running int
	// waiting holds the requests whose read has not ended, with the time when it began, for abandon and giveUp.
	waiting map[*entry]time.Time
	// given holds those of them that giveUp has answered.
	given map[*entry]struct{}
	timer *time.Timer // armed while any are waiting
}

func newReaders(c *cell, most int) *readers {
	return &readers{cell: c, most: most, waiting: make(map[*entry]time.Time), given: make(map[*entry]struct{})}
}

// do runs read on one of the goroutines; false means that too many wait already.
func (r *readers) do(read func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= r.cell.tree.config.MaxPendingOps {
		return false
	}
	r.queue = append(r.queue, read)
	if r.running < r.most {
		r.running++
		go r.run()
	}
	return true
}

func (r *readers) run() {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.running--
			r.queue = nil
			r.mu.Unlock()
			return
		}
		read := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		r.mu.Unlock()
		read()
	}
}

// start runs read for a request, which is answered whatever happens. read returns nil when it has answered, or the
// committer whose requests the request must join.
func (r *readers) start(e *entry, read func() *committer) {
	r.mu.Lock()
	r.waiting[e] = time.Now()
	if r.timer == nil {
		r.timer = time.AfterFunc(r.cell.tree.config.StallAfter, r.giveUp)
	}
	r.mu.Unlock()
	whole := func() {
		joins := r.guarded(e, read)
		// Before the request is in other hands, which may come back here with it.
		r.forget(e)
		if joins != nil {
			joins.submit(e)
		}
	}
	if r.do(whole) {
		e.taken.Store(true)
		return
	}
	r.forget(e)
	e.answer(messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED, "too many reads wait already").
		Of(r.cell.name).After(retrySoon).Advise("send slower, or raise MaxPendingOps and Readers"))
	e.closeSnapshot()
}

func (r *readers) guarded(e *entry, read func() *committer) *committer {
	defer func() {
		if reason := recover(); reason != nil {
			r.cell.logger.Error("read panicked", "reason", reason, "stack", string(debug.Stack()))
			e.answer(messages.Failf(messages.Code_CODE_INTERNAL, "read panicked: %v", reason).Of(r.cell.name))
		}
	}()
	return read()
}

func (r *readers) forget(e *entry) {
	r.mu.Lock()
	delete(r.waiting, e)
	_, given := r.given[e]
	delete(r.given, e)
	if len(r.waiting) == 0 && r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.mu.Unlock()
	if given {
		r.cell.judge()
	}
}

// giveUp answers the reads that the disk does not. Their calls are left behind until it does. Called by the timer.
func (r *readers) giveUp() {
	limit := r.cell.tree.config.StallAfter
	r.mu.Lock()
	next := limit
	var late []*entry
	for e, since := range r.waiting {
		_, given := r.given[e]
		left := limit - time.Since(since)
		switch {
		case e.kind == cutEntry, given: // a flush may last; the run bounds it
		case left > 0:
			next = min(next, left)
		default:
			late = append(late, e)
			r.given[e] = struct{}{}
		}
	}
	if len(r.waiting) == 0 {
		r.timer = nil
	} else if r.timer != nil {
		r.timer.Reset(next)
	}
	r.mu.Unlock()
	for _, e := range late {
		e.answer(r.cell.stallFailure("the read is given up"))
	}
	if len(late) > 0 {
		r.cell.judge()
	}
}

// hung is how many reads were given up and have not ended yet.
func (r *readers) hung() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.given)
}

// abandon answers the reads that have not ended, when the time to stop is over.
func (r *readers) abandon() {
	r.mu.Lock()
	waiting := slices.Collect(maps.Keys(r.waiting))
	r.mu.Unlock()
	for _, e := range waiting {
		e.answer(unavailable(r.cell.name, "table was stopped during the read", retrySoon))
	}
}

// get answers a Get. It must not show a value that a crash could take back, so the key is looked up among
// the unacknowledged writes after it was read: looked up before, a write applied in between would show.
func (r *readers) get(m *committer, e *entry) {
	key := e.one[0].key
	if m.touches(key) {
		m.submit(e)
		return
	}
	r.start(e, func() *committer {
		row, err := m.read(key)
		switch {
		case errors.Is(err, errTouched):
			return m
		case err != nil:
			e.answer(r.failure(err))
		default:
			e.answer(&messages.Value{Found: row.found, Value: row.value, Seq: row.seq})
		}
		return nil
	})
}

// errTouched: the key is being written; its read must join the committer's requests.
var errTouched = errors.New("key is being written")

// read returns key's durable value, or errTouched. Any goroutine may call it.
func (m *committer) read(key []byte) (held, error) {
	seq := m.store.Acked()
	value, found, err := m.store.Get(key)
	if err != nil {
		return held{}, err
	}
	if m.touches(key) {
		return held{}, errTouched
	}
	return held{value: value, found: found, seq: seq}, nil
}

// scan answers a Scan, or a snapshotRequest.
func (r *readers) scan(m *committer, e *entry) {
	if m.unacked.Load() > 0 {
		m.submit(e)
		return
	}
	r.start(e, func() *committer {
		snapshot, err := m.store.Snapshot()
		if err != nil {
			e.answer(r.failure(err))
			return nil
		}
		// After the snapshot, for the same reason as in get.
		if m.unacked.Load() > 0 {
			_ = snapshot.Close()
			return m
		}
		e.snapshot = snapshot
		r.finish(e)
		return nil
	})
}

// page answers a scan whose group is durable. Called by the acker.
func (r *readers) page(e *entry) {
	r.start(e, func() *committer {
		r.finish(e)
		return nil
	})
}

// finish answers a scan from its snapshot.
func (r *readers) finish(e *entry) {
	defer e.closeSnapshot()
	if e.kind == snapshotEntry {
		e.hand(e.snapshot)
		return
	}
	page, err := e.snapshot.Page(e.message.(*messages.Scan))
	if err != nil {
		e.answer(r.failure(err))
		return
	}
	e.answer(page)
}

// failure turns an error of a read into an answer.
func (r *readers) failure(err error) *messages.Failure {
	if errors.Is(err, store.ErrClosed) {
		return unavailable(r.cell.name, "table closed during the read", retrySoon)
	}
	return messages.FailureOf(fmt.Errorf("read: %w", err)).Of(r.cell.name)
}
