package store

import (
	"sync"
	"time"
)

// The pause before an error is returned that follows another one: from the first to the most, doubling.
const (
	firstPause = 10 * time.Millisecond
	mostPause  = time.Second
)

// patience counts for how long the files that Pebble can write anew have been failing without a success: a full
// disk may be given room again. Its success is the MANIFEST's fsync, with which Pebble takes the files
// of a whole flush or compaction for good. No smaller one counts: a full disk still creates files, and
// takes the first of several.
type patience struct {
	limit time.Duration

	mu    sync.Mutex
	since time.Time // of the first failure since the last success; zero without one
	pause time.Duration
}

// failed notes a failure. It returns how long to hold back its error, or that the limit has passed.
func (p *patience) failed() (pause time.Duration, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		p.since = time.Now()
		return 0, false
	}
	if time.Since(p.since) >= p.limit {
		return 0, true
	}
	p.pause = min(max(2*p.pause, firstPause), mostPause)
	return p.pause, false
}

// succeeded ends the run of failures.
func (p *patience) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since, p.pause = time.Time{}, 0
}
