package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
)

// endpoint answers HTTP on one listener, and is closed gracefully.
type endpoint struct {
	name     string // what it is, in errors
	server   *http.Server
	requests atomic.Int64 // under way
	served   chan struct{}
}

// serve answers on listener until the endpoint is closed. server has the handler, and what else the endpoint needs.
func serve(name string, listener net.Listener, server *http.Server, b bounds, logger *slog.Logger) *endpoint {
	server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: mostStreams}
	e := &endpoint{name: name, server: server, served: make(chan struct{})}
	server.Handler = e.counted(server.Handler)
	server.ReadHeaderTimeout = b.header
	server.IdleTimeout = idleTimeout
	server.MaxHeaderBytes = maxHeader
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	go func() {
		defer close(e.served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error(name+" is no longer served", "address", listener.Addr(), "error", err)
		}
	}()
	return e
}

// mostStreams is how many requests one connection of HTTP/2 carries at a time.
const mostStreams = 100

// counted counts the requests under way.
func (e *endpoint) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		defer e.requests.Add(-1)
		next.ServeHTTP(w, r)
	})
}

// close refuses new requests and waits for the answers under way. When ctx ends first, it cuts their connections and returns
// an error.
func (e *endpoint) close(ctx context.Context) error {
	err := e.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("close %s: %d requests are unanswered: %w", e.name, e.requests.Load(), err), e.server.Close())
	}
	<-e.served
	return err
}
