package ops

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// maxDrained is how much of a request that is too large is still read, so that a client which writes it
	// all before it reads gets the answer.
	maxDrained = 1 << 30
	// maxHeader is the most that the head of a request may hold, in bytes.
	maxHeader = 64 << 10
	// headerTimeout is how long the head of a request may take.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection may stay without a request.
	idleTimeout = 2 * time.Minute
	// stallTimeout is how long a client may neither send what it has begun nor take what it is sent.
	stallTimeout = 30 * time.Second
	// endGrace is how long a client may take to take the end of its answer once the service ends.
	endGrace = time.Second
)

// bounds is what a handler allows its clients.
type bounds struct {
	request int64         // bytes, where a procedure allows as much
	header  time.Duration // for the head of a request
	stall   time.Duration // without progress, in either direction
	// rooms are how much there may be of all requests together; zero means the defaults.
	rooms roomSizes
	// guests is how many connections a listener keeps; zero means what the descriptors allow.
	guests int
}

// connections is how many connections a listener keeps.
func (b bounds) connections() int {
	if b.guests > 0 {
		return b.guests
	}
	return connectionLimit(store.Descriptors())
}

// bounded keeps clients that stop, and requests that are too large, from holding a request for ever. When ending is
// cancelled, answers under way get endGrace for their clients to take them.
func bounded(ending context.Context, b bounds, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		writer := &boundedWriter{ResponseWriter: w, control: control, stall: b.stall, ending: ending}
		stop := context.AfterFunc(ending, writer.hurry)
		defer func() {
			stop()
			writer.leave()
		}()
		r.Body = &boundedBody{body: r.Body, control: control, stall: b.stall, limit: b.requestLimit(r.URL.Path)}
		next.ServeHTTP(writer, r)
	})
}

// boundedBody is a request's body: it must keep coming, and end in time. The deadline lies on the
// connection, and is set anew by each read.
type boundedBody struct {
	body    io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	limit   int64 // bytes
	read    int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.stall)) // every connection of ours has one
	n, err := b.body.Read(p)
	b.read += int64(n)
	var network net.Error
	switch {
	case err == io.EOF:
		// From here on the server reads only to see whether the client goes away.
		_ = b.control.SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		err = toConnect(messages.Failf(messages.Code_CODE_DEADLINE_EXCEEDED,
			"the request stopped after %d B: nothing came for %v", b.read, b.stall))
	}
	if b.read > b.limit && (err == nil || err == io.EOF) {
		err = b.tooLarge()
	}
	return n, err
}

// tooLarge takes the rest from a client that would otherwise not look for its answer, and refuses the request.
func (b *boundedBody) tooLarge() error {
	rest := make([]byte, 32<<10)
	for drained := 0; drained < maxDrained; {
		// Anew for each read: a client that goes on slowly is not one that stops.
		_ = b.control.SetReadDeadline(time.Now().Add(b.stall))
		n, err := b.body.Read(rest)
		drained += n
		if err != nil {
			break
		}
	}
	_ = b.control.SetReadDeadline(time.Time{})
	return tooLarge("has", b.limit)
}

// Close implements io.Closer.
func (b *boundedBody) Close() error { return b.body.Close() }

// boundedWriter is an answer that its client must keep taking. There is a deadline only while something is written: over HTTP/2 one
// that passes resets the stream, whether anybody writes or not.
type boundedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	ending  context.Context
	// begun is set once something was written. The handler's goroutine's alone.
	begun bool

	mu            sync.Mutex
	writing, left bool
}

// WriteHeader implements http.ResponseWriter.
func (w *boundedWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *boundedWriter) Write(p []byte) (int, error) {
	w.begun = true
	w.limit(true)
	defer w.limit(false)
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher, which streams need.
func (w *boundedWriter) Flush() { _ = w.FlushError() } // the next write tells

// FlushError is Flush for http.ResponseController.
func (w *boundedWriter) FlushError() error {
	w.begun = true
	w.limit(true)
	defer w.limit(false)
	return w.control.Flush()
}

// Unwrap is for http.ResponseController.
func (w *boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limit sets the deadline of a write that begins, or takes it away with one that has ended.
func (w *boundedWriter) limit(writing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = writing
	if writing {
		w.extend()
	} else {
		_ = w.control.SetWriteDeadline(time.Time{})
	}
}

// hurry gives a write that is under way less time, once the service ends.
func (w *boundedWriter) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing && !w.left {
		w.extend()
	}
}

// leave ends the handler's part. What the server still has to send has a deadline; nothing touches the answer from here on: it
// is no longer ours, and over HTTP/2 no longer there.
func (w *boundedWriter) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.extend()
	w.left = true
}

func (w *boundedWriter) extend() {
	wait := w.stall
	if w.ending.Err() != nil {
		wait = min(wait, endGrace)
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(wait))
}
