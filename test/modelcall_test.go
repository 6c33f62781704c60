package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// call is one caller, who waits for each answer of a handle. It has no order with what is sent to the PID: it is a sender of
// its own.
func (m *model) call(id int) {
	rng := rand.New(rand.NewPCG(m.seed, 200+uint64(id)))
	id += *modelSenders
	handle, ctx := m.g.Table("t"), context.Background()
	for step := range *modelSteps / 4 {
		switch n := rng.IntN(10); {
		case n < 4:
			key, sent := modelKey(rng), m.now()
			value, err := handle.Get(ctx, []byte(key))
			if err == nil || errors.Is(err, messages.ErrNotFound) {
				m.addReads(&modelRead{sender: id, key: key, value: string(value), found: err == nil, sent: sent})
			}
		case n == 4:
			sent := m.now()
			if page, err := handle.Scan(ctx, &messages.Scan{}); err == nil {
				m.addPage(id, sent, page)
			}
		default:
			w, message := m.write(rng, id, fmt.Sprintf("%d-%d", id, step))
			seq, err := m.callWrite(ctx, handle, message)
			var failure *messages.Failure
			if err != nil && !errors.As(err, &failure) {
				m.t.Errorf("%T by a handle: %v", message, err)
			}
			m.answered(w, seq, failure)
		}
	}
}

func (m *model) callWrite(ctx context.Context, handle *actors.Table, message proto.Message) (seq uint64, err error) {
	switch w := message.(type) {
	case *messages.Put:
		return handle.Put(ctx, w.GetKey(), w.GetValue())
	case *messages.Delete:
		return handle.Delete(ctx, w.GetKey())
	case *messages.DeleteRange:
		return handle.DeleteRange(ctx, w.GetStart(), w.GetEnd())
	default:
		return handle.Write(ctx, message.(*messages.Write))
	}
}

// now is the instant before a request is sent.
func (m *model) now() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	return m.clock
}
