package ops

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gabiondb/gabion/messages"
)

const (
	// maxRequest is the largest request, in bytes: a Write of 64 MiB passes, also as JSON, whose base64 takes a
	// third more.
	maxRequest = 2 * messages.MaxWrite
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
	request int64         // bytes
	header  time.Duration // for the head of a request
	stall   time.Duration // without progress, in either direction
}

// bounded keeps clients that stop, and requests that are too large, from holding a request for ever. When ending is
// cancelled, answers under way get endGrace for their clients to take them.
func bounded(ending context.Context, b bounds, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		writer := &boundedWriter{ResponseWriter: w, control: control, stall: b.stall, ending: ending}
		defer context.AfterFunc(ending, func() { _ = control.SetWriteDeadline(time.Now().Add(endGrace)) })()
		r.Body = &boundedBody{body: r.Body, control: control, bounds: b}
		next.ServeHTTP(writer, r)
	})
}

// boundedBody is a request's body: it must keep coming, and end in time. The deadline lies on the
// connection, and is set anew by each read.
type boundedBody struct {
	body    io.ReadCloser
	control *http.ResponseController
	bounds  bounds
	read    int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.bounds.stall)) // every connection of ours has one
	n, err := b.body.Read(p)
	b.read += int64(n)
	var network net.Error
	switch {
	case err == io.EOF:
		// From here on the server reads only to see whether the client goes away.
		_ = b.control.SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		err = toConnect(messages.Failf(messages.Code_CODE_DEADLINE_EXCEEDED,
			"the request stopped after %d B: nothing came for %v", b.read, b.bounds.stall))
	}
	if b.read > b.bounds.request && (err == nil || err == io.EOF) {
		err = b.tooLarge()
	}
	return n, err
}

// tooLarge takes the rest from a client that would otherwise not look for its answer, and refuses the request.
func (b *boundedBody) tooLarge() error {
	rest := make([]byte, 32<<10)
	for drained := 0; drained < maxDrained; {
		// Anew for each read: a client that goes on slowly is not one that stops.
		_ = b.control.SetReadDeadline(time.Now().Add(b.bounds.stall))
		n, err := b.body.Read(rest)
		drained += n
		if err != nil {
			break
		}
	}
	_ = b.control.SetReadDeadline(time.Time{})
	return toConnect(messages.Failf(messages.Code_CODE_INVALID_ARGUMENT,
		"request has more than %d B", b.bounds.request).Advise("split the Write: it may hold up to 64 MiB of keys and values"))
}

// Close implements io.Closer.
func (b *boundedBody) Close() error { return b.body.Close() }

// boundedWriter is an answer that its client must keep taking.
type boundedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	ending  context.Context
}

// Write implements io.Writer.
func (w *boundedWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher, which streams need.
func (w *boundedWriter) Flush() {
	w.extend()
	_ = w.control.Flush() // the next write tells
}

// Unwrap is for http.ResponseController.
func (w *boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *boundedWriter) extend() {
	wait := w.stall
	if w.ending.Err() != nil {
		wait = min(wait, endGrace)
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(wait))
}
