package ops

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const (
	// freshHealth is how old health may be that serves without being asked for anew.
	freshHealth = time.Second
	// healthPatience is how long a request waits for health that is asked for anew, before what is known serves.
	healthPatience = time.Second
	// healthTimeout is how long health may take at all: it has limits of its own, which are shorter.
	healthTimeout = time.Minute
)

// monitor asks for health on behalf of all requests, once at a time: a disk that hangs holds up none of them for long.
type monitor struct {
	ask   func(context.Context) (*messages.HealthReport, error)
	leave func()

	mu     sync.Mutex
	report *messages.HealthReport // nil before the first
	at     time.Time
	// changes counts the events; seen is how many there were when the report was asked for. What a page shows after an event
	// must not be from before it.
	changes, seen uint64
	failed        error         // why there was no answer the last time
	asked         chan struct{} // closed when the answer is there that is being waited for; nil while none is
}

func newMonitor(g *actors.Gabion) *monitor {
	m := &monitor{ask: g.Health}
	m.leave = g.Subscribe(func(proto.Message) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.changes++
	})
	return m
}

// latest returns the newest report and when it was made; nil where there is none yet. It must not be changed. It waits a
// second at most, for one that is from after all events so far.
func (m *monitor) latest(ctx context.Context) (*messages.HealthReport, time.Time) {
	patience := time.NewTimer(healthPatience)
	defer patience.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := m.changes
	for m.report == nil || m.seen < wanted || time.Since(m.at) >= freshHealth {
		if m.asked == nil {
			m.asked = make(chan struct{})
			go m.refresh(m.asked, m.changes)
		}
		asked, late := m.asked, false
		m.mu.Unlock()
		select {
		case <-asked:
		case <-patience.C:
			late = true
		case <-ctx.Done():
			late = true
		}
		m.mu.Lock()
		if late || m.failed != nil {
			break
		}
	}
	return m.report, m.at
}

// refresh asks once. Not by a request's context: others wait for the answer too.
func (m *monitor) refresh(asked chan struct{}, changes uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	at := time.Now()
	report, err := m.ask(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed = err; err == nil {
		m.report, m.at, m.seen = report, at, changes
	}
	m.asked = nil
	close(asked)
}
