package store

import (
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// countedParts is in how many parts a life is counted on disk at most, where no clock is set.
const countedParts = 8

// lives remember, by a clock that nobody sets, when the lives of lineages were last counted in this process.
type lives struct {
	mu sync.Mutex
	at map[string]time.Duration
	// running is how long the process runs; nil is by the monotonic clock.
	running func() time.Duration
	began   time.Time
}

func (l *lives) now() time.Duration {
	if l.running != nil {
		return l.running()
	}
	if l.began.IsZero() {
		l.began = time.Now()
	}
	return time.Since(l.began)
}

// count notes that a life is counted up to ago before now.
func (l *lives) count(lineage string, ago time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = make(map[string]time.Duration)
	}
	l.at[lineage] = l.now() - ago
}

// since is how much time has run since the life was counted; ok is false where nobody counted it in this process.
func (l *lives) since(lineage string) (ran time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.at[lineage]
	return l.now() - at, ok
}

func (l *lives) forget(lineage string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.at, lineage)
}

// lifeEnded counts the life of what is kept as undo on to now, and tells whether it has ended. A clock that jumps ahead ends
// none: while the process runs what counts is how long it ran, and after a start no more than half of the life, since nobody can
// tell a clock that is wrong from a machine that was switched off.
//
// What is counted of it is durable where that takes more than until says, and now and then where not. A crash leaves the record as it
// was, or the new one.
func (d *Directory) lifeEnded(record *messages.UndoRecord, now time.Time) (bool, error) {
	lineage, until := record.GetLineage(), record.GetUntil().AsTime()
	counted := now
	switch {
	case record.GetCounted() != nil:
		counted = record.GetCounted().AsTime()
	case record.GetSince() != nil:
		counted = record.GetSince().AsTime()
	}
	left := max(0, until.Sub(counted))
	life := record.GetLife().AsDuration()
	if record.GetLife() == nil {
		life = left
	}
	shown := now.Sub(counted)
	passed := min(shown, life-life/2)
	ran, counting := d.lives.since(lineage)
	if counting {
		passed = min(max(shown, ran), ran+messages.Skew)
	}
	passed = max(0, passed)
	if passed >= left && !messages.Ahead(counted, now) || counting && ran >= left {
		return true, nil
	}
	if messages.Ahead(counted, now) || shown-passed > messages.Skew || passed-shown > messages.Skew {
		d.logger.Warn("clock was set, or the machine was off: undo is kept by the time that is known to have passed", "table",
			record.GetTable(), "lineage", lineage, "by_clock", shown.String(), "counts", passed.String())
		if messages.AheadOf(record.GetSince(), now) {
			record.Since = nil
		}
		return false, d.putLife(record, now, left-passed, life)
	}
	if passed > life/countedParts {
		return false, d.putLife(record, now, left-passed, life)
	}
	if !counting {
		d.lives.count(lineage, passed)
	}
	return false, nil
}

// putLife durably writes that so much of a life is left now.
func (d *Directory) putLife(record *messages.UndoRecord, now time.Time, left, life time.Duration) error {
	record.Counted, record.Until, record.Life = timestamppb.New(now), timestamppb.New(now.Add(left)), durationpb.New(life)
	return d.putUndo(record)
}
