package ops

import (
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gabiondb/gabion/messages"
)

// The hub remembers so many events, and no others; their ids have no gaps.
func TestHub(t *testing.T) {
	start := time.UnixMicro(1_000_000)
	h := newHub(start)
	h.add(&emptypb.Empty{})
	if events, _ := h.after(0); len(events) != 0 {
		t.Errorf("a strange event is remembered: %v", events)
	}
	_, grown := h.after(0)
	for range eventsKept + 10 {
		h.add(&messages.TableStateChanged{Table: "fruit"})
	}
	select {
	case <-grown:
	default:
		t.Error("nobody is told of a new event")
	}
	first, last := uint64(1_000_010), uint64(1_000_000+eventsKept+10-1)
	for _, test := range []struct {
		after, from uint64
		count       int
	}{
		{0, first, eventsKept},
		{first - 5, first, eventsKept},
		{first - 1, first, eventsKept},
		{first, first + 1, eventsKept - 1},
		{last - 1, last, 1},
		{last, 0, 0},
		{last + 1000, first, eventsKept}, // of a server whose clock was ahead
	} {
		events, _ := h.after(test.after)
		if len(events) != test.count || len(events) > 0 && events[0].GetId() != test.from {
			t.Errorf("after %d: %d events, first %v", test.after, len(events), events[0].GetId())
		}
		for i, e := range events {
			if e.GetId() != events[0].GetId()+uint64(i) {
				t.Fatalf("after %d: event %d has id %d", test.after, i, e.GetId())
			}
		}
	}
}

var errEnough = errors.New("enough")

// Events come in order, those before the call too; with after, only what follows.
func TestEvents(t *testing.T) {
	h, c := serving(t)
	if err := h.CloseTable(t.Context(), "fruit"); err != nil {
		t.Fatal(err)
	}
	got := make(chan *messages.Event)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Events(t.Context(), &messages.EventsRequest{Follow: true}, func(e *messages.Event) error {
			got <- e
			if e.GetBackupComplete() != nil {
				return errEnough
			}
			return nil
		})
	}()
	first := <-got
	if first.GetTableStateChanged().GetTo() != messages.TableState_TABLE_STATE_CLOSED || first.GetTime() == nil {
		t.Errorf("first event is %v", first)
	}
	go func() {
		if _, err := h.BackupAll(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	kinds := []bool{}
	for id := first.GetId(); ; {
		e := <-got
		if id++; e.GetId() != id {
			t.Errorf("id is %d, want %d", e.GetId(), id)
		}
		kinds = append(kinds, e.GetTableBackedUp() != nil)
		if e.GetBackupComplete() != nil {
			break
		}
	}
	if !slices.Equal(kinds, []bool{false, true, true, false}) {
		t.Errorf("which are tables that were backed up: %v", kinds)
	}
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Errorf("events end with %v", err)
	}
	var rest []uint64
	err := c.Events(t.Context(), &messages.EventsRequest{After: first.GetId() + 2}, func(e *messages.Event) error {
		rest = append(rest, e.GetId())
		return nil
	})
	if err != nil || !slices.Equal(rest, []uint64{first.GetId() + 3, first.GetId() + 4}) {
		t.Errorf("the rest is %v, %v", rest, err)
	}
}
