package ops

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
)

// roomSizes are how much there may be at one time of what one handler, or one socket, is asked for. Readers may have
// half of each.
type roomSizes struct {
	requests int64 // requests that end with one answer
	streams  int64 // answers that go on, such as walks and events
	bodies   int64 // bytes of requests of more than maxSmall
	answers  int64 // bytes of answers that are large
	pages    int64 // bytes of messages of streams that are large
	reads    int64 // requests of one kind to one table that read, and are not yet being answered
	patience time.Duration
}

func (s roomSizes) orDefaults() roomSizes {
	return roomSizes{
		requests: cmp.Or(s.requests, 1024), streams: cmp.Or(s.streams, 256),
		bodies: cmp.Or(s.bodies, 256<<20), answers: cmp.Or(s.answers, 256<<20), pages: cmp.Or(s.pages, 256<<20),
		reads: cmp.Or(s.reads, 16), patience: cmp.Or(s.patience, roomPatience),
	}
}

// rooms bound the memory that all requests to one handler, or to one socket, hold together. A request takes from them in
// the order of the fields, and nothing twice, so that no two wait for each other.
type rooms struct {
	requests, streams, bodies *room
	reads                     *keyedRooms
	answers, pages            *room
}

func newRooms(sizes roomSizes) *rooms {
	s := sizes.orDefaults()
	return &rooms{
		requests: newRoom("too many requests are under way", s.requests, s.patience),
		streams:  newRoom("too many streams are under way", s.streams, s.patience),
		bodies:   newRoom("the requests under way are too large together", s.bodies, s.patience),
		reads:    &keyedRooms{what: "too many such reads are under way", size: s.reads, patience: s.patience},
		answers:  newRoom("the answers under way are too large together", s.answers, s.patience),
		pages:    newRoom("the streams under way are too large together", s.pages, s.patience),
	}
}

// tab is what one request has taken. It belongs to the goroutine of the request.
type tab struct {
	who   access
	backs []func()
}

func (t *tab) add(back func()) { t.backs = append(t.backs, back) }

func (t *tab) giveBack() {
	for _, back := range t.backs {
		back()
	}
}

type (
	accessKey struct{}
	tabKey    struct{}
)

// withAccess notes what a request may do.
func withAccess(r *http.Request, who access) *http.Request {
	introduce(r.Context(), who)
	return r.WithContext(context.WithValue(r.Context(), accessKey{}, who))
}

// accessOf is what was noted. Where nothing was, the request came by the socket, whose callers may do everything.
func accessOf(ctx context.Context) access {
	who, ok := ctx.Value(accessKey{}).(access)
	if !ok {
		return admin
	}
	return who
}

// spared answers the procedures while there is room. Nothing of a body is read before.
func (s *service) spared(b bounds, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := s.untilEnd(r.Context())
		defer cancel()
		t := &tab{who: accessOf(r.Context())}
		defer t.giveBack()
		kind := s.rooms.requests
		if procedures[r.URL.Path].stream {
			kind = s.rooms.streams
		}
		back, no := kind.take(ctx, t.who, 1)
		if no == nil {
			t.add(back)
			no = s.makeRoom(ctx, t, r, b.requestLimit(r.URL.Path))
		}
		if no != nil {
			_, _ = io.Copy(io.Discard, r.Body) // a client that sends all of it before it reads gets the answer
			sayWhen(w, no)
			if err := connect.NewErrorWriter().Write(w, r, toConnect(no)); err != nil {
				s.logger.Debug("refusal is not sent", "error", err)
			}
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tabKey{}, t)))
	})
}

// mostPacked is how many bytes one byte of gzip unpacks to, at most.
const mostPacked = 1032

// makeRoom takes room for the body of a request, or has its first bytes beyond what a small one has take it.
func (s *service) makeRoom(ctx context.Context, t *tab, r *http.Request, limit int64) *messages.Failure {
	if limit <= maxSmall {
		return nil
	}
	size, known := r.ContentLength, r.ContentLength >= 0
	if packed(r.Header) {
		if !known || size > limit/mostPacked {
			size = limit
		} else {
			size *= mostPacked
		}
		known = true
	}
	if !known {
		r.Body = &lazyBody{ReadCloser: r.Body, take: func() *messages.Failure { return s.takeBody(ctx, t, limit) }}
		return nil
	}
	if size <= maxSmall {
		return nil
	}
	return s.takeBody(ctx, t, min(size, limit))
}

func (s *service) takeBody(ctx context.Context, t *tab, size int64) *messages.Failure {
	back, no := s.rooms.bodies.take(ctx, t.who, held(size))
	if no == nil {
		t.add(back)
	}
	return no
}

// packed tells whether a request, or its messages, may be compressed.
func packed(h http.Header) bool {
	for _, name := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
		if encoding := h.Get(name); encoding != "" && !strings.EqualFold(encoding, "identity") {
			return true
		}
	}
	return false
}
