package ops

import (
	"context"
	"io"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
)

// sparing takes room for answers, and lets so many reads of a kind go at one time: what they have read is not counted before.
type sparing struct{ rooms *rooms }

// WrapUnary implements connect.Interceptor.
func (s sparing) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		t, ok := ctx.Value(tabKey{}).(*tab)
		if !ok {
			return next(ctx, request)
		}
		at := request.Spec().Procedure
		reads := procedures[at].needs == reader
		if reads {
			if m, ok := request.Any().(interface{ GetTable() string }); ok && messages.CheckTableName(m.GetTable()) == nil {
				at += " " + m.GetTable()
			}
			back, no := s.rooms.reads.take(ctx, t.who, at)
			if no != nil {
				return nil, no
			}
			defer back()
		}
		response, err := next(ctx, request)
		if err != nil {
			return nil, err
		}
		if size := heldAnswer(response.Any()); size > 0 {
			back, no := s.rooms.answers.take(ctx, t.who, size)
			switch {
			case no == nil:
				t.add(back)
			case reads: // what was done is answered, room or not
				return nil, no
			}
		}
		return response, nil
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (sparing) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (s sparing) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if t, ok := ctx.Value(tabKey{}).(*tab); ok {
			conn = &sparingStream{conn, ctx, s.rooms.pages, t.who, procedures[conn.Spec().Procedure].needs == reader}
		}
		return next(ctx, conn)
	}
}

// sparingStream takes room for each large message while it is sent.
type sparingStream struct {
	connect.StreamingHandlerConn
	ctx   context.Context
	pages *room
	who   access
	reads bool
}

// Send implements connect.StreamingHandlerConn.
func (s *sparingStream) Send(m any) error {
	if size := heldAnswer(m); size > 0 {
		back, no := s.pages.take(s.ctx, s.who, size)
		switch {
		case no == nil:
			defer back()
		case s.reads:
			return no
		}
	}
	return s.StreamingHandlerConn.Send(m)
}

// lazyBody is the body of a request that does not say its size. It takes room for the largest one before it gives more than
// a small one has.
type lazyBody struct {
	io.ReadCloser
	take func() *messages.Failure // nil once taken
	read int64
}

// Read implements io.Reader.
func (b *lazyBody) Read(p []byte) (int, error) {
	if b.take != nil && b.read+int64(len(p)) > maxSmall {
		if b.read < maxSmall {
			p = p[:min(int64(len(p)), maxSmall-b.read)]
		} else if no := b.take(); no != nil {
			_, _ = io.Copy(io.Discard, b.ReadCloser) // as in spared
			return 0, toConnect(no)
		} else {
			b.take = nil
		}
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}
