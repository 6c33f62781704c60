package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// SocketOptions configures ListenSocket. The zero value is ready to use.
type SocketOptions struct {
	// Logger receives what goes wrong while serving. Nil means no logs.
	Logger *slog.Logger

	// bounds are what tests make smaller.
	bounds bounds
}

// Socket answers GabionService on DIR/gabion.sock for a Gabion of this process.
type Socket struct {
	dir     string
	info    os.FileInfo
	end     context.CancelFunc
	closing sync.Once
	closed  error
	*endpoint
}

// ListenSocket opens DIR/gabion.sock, with the directory of g, and answers GabionService on it, so that the command
// gabion and Dial reach g. Only the user of this process can connect. Close it before g stops, or beside it.
//
// What a killed server left in its place is replaced: the lock on DIR, which g holds, says that it is dead. The
// file system of g must be the operating system's.
func ListenSocket(ctx context.Context, g *actors.Gabion, o SocketOptions) (*Socket, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.bounds == (bounds{}) {
		o.bounds = bounds{request: maxRequest, header: headerTimeout, stall: stallTimeout}
	}
	path, err := socketPath(g.Dir())
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	if err := unserved(ctx, path); err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	listener, info, err := bind(g.Dir())
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	ending, end := context.WithCancel(context.WithoutCancel(ctx))
	answer := bounded(ending, o.bounds, newService(ending, g, o.Logger).handler(o.bounds))
	guests := newGuests(listener, o.bounds.connections(), admin)
	server := &http.Server{Handler: answer}
	guests.watch(server)
	s := &Socket{dir: g.Dir(), info: info, end: end, endpoint: serve("socket", guests, server, o.bounds, o.Logger)}
	o.Logger.Info("listening", "socket", path)
	return s, nil
}

// unserved returns an error unless the socket at path is free, or what a killed server left. Whatever else keeps from
// connecting, such as a full queue or a socket of another type, is a program that lives.
func unserved(ctx context.Context, path string) error {
	conn, err := connectTo(ctx, path)
	switch {
	case err == nil:
		return errors.Join(messages.WithHint(fmt.Errorf("%w: %s is served already", errTaken, path),
			"call ListenSocket once for each Gabion, or stop the program that listens there"), conn.Close())
	case errors.Is(err, ErrNoServer), errors.Is(err, os.ErrPermission):
		// A socket of another user's: that one served dir before, and holds it no more.
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errNoShortPath):
		return err // nothing is known of the socket
	}
	return messages.WithHint(fmt.Errorf("%w: %s is in use: %w", errTaken, path, err),
		"stop the program that listens there, or, where there is none, remove the socket")
}

// Close removes the socket, refuses new requests, ends walks, waits for runs and streams of events with UNAVAILABLE,
// and waits for the other answers. When ctx ends first, it cuts their connections and returns an error. Calling it
// again returns what the first call did.
func (s *Socket) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closed = s.close(ctx) })
	return s.closed
}

func (s *Socket) close(ctx context.Context) error {
	err := unbind(s.dir, s.info)
	s.end()
	return errors.Join(err, s.endpoint.close(ctx))
}
