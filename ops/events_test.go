package ops

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// Events come in order, those before the call too; with after, since or a limit only some of them.
func TestEvents(t *testing.T) {
	h, c := serving(t)
	if err := h.CloseTable(t.Context(), "fruit"); err != nil {
		t.Fatal(err)
	}
	got := make(chan *messages.LoggedEvent)
	go func() {
		defer close(got)
		for e, err := range c.FollowEvents(t.Context(), nil) {
			if err != nil {
				t.Error(err)
				return
			}
			got <- e
			if e.GetBackupComplete() != nil {
				return
			}
		}
	}()
	var followed []*messages.LoggedEvent
	for e := range got {
		followed = append(followed, e)
		if e.GetTableStateChanged().GetTo() == messages.TableState_TABLE_STATE_CLOSED {
			go func() {
				if _, err := h.BackupAll(t.Context()); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	list := func(m *messages.ListEvents) (seqs []uint64) {
		for e, err := range c.Events(t.Context(), m) {
			if err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, e.GetSeq())
		}
		return seqs
	}
	all := list(nil)
	if n := len(all); n < 5 || n != len(followed) {
		t.Fatalf("%d events were logged, %d followed", n, len(followed))
	}
	for i, e := range followed {
		if e.GetSeq() != all[i] || e.GetTime() == nil || e.Message() == nil {
			t.Errorf("event %d is %v", i, e)
		}
	}
	if got := list(&messages.ListEvents{After: all[1]}); !slices.Equal(got, all[2:]) {
		t.Errorf("after the second: %d, all are %d", got, all)
	}
	if got := list(&messages.ListEvents{Limit: 2}); !slices.Equal(got, all[:2]) {
		t.Errorf("the first two: %d, all are %d", got, all)
	}
	if got := list(&messages.ListEvents{Since: timestamppb.New(time.Now().Add(time.Hour))}); len(got) > 0 {
		t.Errorf("since an hour to come: %d", got)
	}
	for e, err := range c.FollowEvents(t.Context(), &messages.ListEvents{After: all[len(all)-2]}) {
		if err != nil || e.GetSeq() != all[len(all)-1] {
			t.Errorf("followed after the last but one: %v, %v", e, err)
		}
		break
	}
	waitFor(t, func() bool { return h.socket.requests.Load() == 0 })
}

// A client that leaves ends its stream alone.
func TestEventsCancelled(t *testing.T) {
	_, c := serving(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.FollowEvents(ctx, nil) {
		cancel()
		last = err
	}
	if last != context.Canceled {
		t.Errorf("events end with %v", last)
	}
	if _, err := c.ListTables(t.Context()); err != nil {
		t.Error(err)
	}
}
