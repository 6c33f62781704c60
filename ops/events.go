package ops

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// eventsKept is how many events a server remembers. A client that falls further behind finds a gap in the ids.
const eventsKept = 1024

// hub remembers the last events. Clients read it by themselves, so that a slow one holds up nobody.
type hub struct {
	mu     sync.Mutex
	events []*messages.Event // the ids are consecutive
	next   uint64
	grown  chan struct{} // closed, and made anew, with each event
}

func newHub(start time.Time) *hub {
	return &hub{next: uint64(start.UnixMicro()), grown: make(chan struct{})}
}

// add remembers event, which must not change any more. An event of another kind is not remembered.
func (h *hub) add(event proto.Message) {
	e := &messages.Event{Time: timestamppb.New(time.Now())}
	switch m := event.(type) {
	case *messages.BackupStarted:
		e.Event = &messages.Event_BackupStarted{BackupStarted: m}
	case *messages.TableBackedUp:
		e.Event = &messages.Event_TableBackedUp{TableBackedUp: m}
	case *messages.BackupComplete:
		e.Event = &messages.Event_BackupComplete{BackupComplete: m}
	case *messages.TableStateChanged:
		e.Event = &messages.Event_TableStateChanged{TableStateChanged: m}
	default:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Id = h.next
	h.next++
	if len(h.events) == eventsKept {
		h.events = append(h.events[:0:0], h.events[1:]...)
	}
	h.events = append(h.events, e)
	close(h.grown)
	h.grown = make(chan struct{})
}

// after returns the events after id that are remembered, oldest first, and a channel that is closed when there is
// another one. An id of the future is one of another server, whose clock was ahead: it gets all.
func (h *hub) after(id uint64) ([]*messages.Event, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := 0
	if first := h.next - uint64(len(h.events)); id >= first && id < h.next {
		from = int(id - first + 1)
	}
	return h.events[from:len(h.events):len(h.events)], h.grown
}
