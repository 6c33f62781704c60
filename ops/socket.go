package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
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
	dir      string
	info     os.FileInfo
	server   *http.Server
	requests atomic.Int64 // under way
	end      context.CancelFunc
	served   chan struct{}
	closing  sync.Once
	closed   error
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
	start := time.Now()
	ending, end := context.WithCancel(context.WithoutCancel(ctx))
	answering := &service{gabion: g, logger: o.Logger, ending: ending, info: &messages.InfoResponse{
		Version: moduleVersion(), ProtocolMajor: protocolMajor, ProtocolMinor: protocolMinor,
		Dir: messages.Text(g.Dir()), BackupDir: messages.Text(g.BackupDir()), Started: timestamppb.New(start),
	}}
	s := &Socket{dir: g.Dir(), info: info, end: end}
	s.serve(listener, bounded(ending, o.bounds, handler(answering, o.bounds)), o)
	o.Logger.Info("listening", "socket", path)
	return s, nil
}

// unserved returns an error unless the socket at path is free, or what a killed server left. Whatever else keeps from
// connecting, such as a full queue or a socket of another type, is a program that lives.
func unserved(ctx context.Context, path string) error {
	conn, err := connectTo(ctx, path)
	switch {
	case err == nil:
		return errors.Join(messages.WithHint(fmt.Errorf("%s is served already", path),
			"call ListenSocket once for each Gabion, or stop the program that listens there"), conn.Close())
	case errors.Is(err, ErrNoServer):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return messages.WithHint(fmt.Errorf("%s is in use: %w", path, err),
		"stop the program that listens there, or, where there is none, remove the socket")
}

// serve answers on listener until the server is closed.
func (s *Socket) serve(listener net.Listener, answer http.Handler, o SocketOptions) {
	s.served = make(chan struct{})
	s.server = &http.Server{
		Handler:           s.counted(answer),
		ReadHeaderTimeout: o.bounds.header,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.served)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("socket is no longer served", "socket", listener.Addr(), "error", err)
		}
	}()
}

// handler answers the RPCs.
func handler(s *service, b bounds) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(messagesconnect.NewGabionServiceHandler(s,
		connect.WithReadMaxBytes(int(b.request)), // also of what is compressed
		connect.WithInterceptors(protocolInterceptor{}),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, reason any) error {
			return toConnect(s.recovered(spec.Procedure, reason))
		})))
	return mux
}

// counted counts the requests under way.
func (s *Socket) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		defer s.requests.Add(-1)
		next.ServeHTTP(w, r)
	})
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
	if shutdown := s.server.Shutdown(ctx); shutdown != nil {
		err = errors.Join(err, fmt.Errorf("close socket: %d requests are unanswered: %w", s.requests.Load(), shutdown), s.server.Close())
	}
	<-s.served
	return err
}
