package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
)

// Server is a Gabion that runs by a Config, in an actor system of its own, with its socket.
type Server struct {
	logger *slog.Logger
	system *actor.ActorSystem
	gabion *actors.Gabion
	socket *Socket // nil when it is disabled
}

// Start starts a server and waits until every table is open, or has said why not. When ctx ends first, it stops what
// it began. logger receives everything that is logged; nil means no logs.
func Start(ctx context.Context, config *Config, logger *slog.Logger) (*Server, error) {
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	s := &Server{logger: logger}
	s.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return systemLogger(logger)
	}))
	gabion := config.Gabion
	gabion.Logger = logger
	// Another command that reads the directory in place is soon gone.
	err := whileHeld(ctx, func() (err error) {
		s.gabion, err = actors.Start(ctx, s.system, gabion)
		return err
	})
	if err != nil {
		s.system.Shutdown()
		return nil, err
	}
	if config.DisableSocket {
		return s, nil
	}
	if s.socket, err = ListenSocket(ctx, s.gabion, SocketOptions{Logger: logger}); err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(config.StopTimeout, 30*time.Second))
		defer cancel()
		return nil, errors.Join(err, s.Stop(stopping))
	}
	return s, nil
}

// Gabion is what the server runs.
func (s *Server) Gabion() *actors.Gabion { return s.gabion }

// Stop drains: what was accepted is committed and answered, then every table is closed. When ctx ends first, the
// error names what hangs.
func (s *Server) Stop(ctx context.Context) error {
	start := time.Now()
	closed := make(chan error, 1)
	go func() { closed <- s.closeSocket(ctx) }()
	err := s.gabion.Stop(ctx)
	if err != nil {
		err = fmt.Errorf("stop gabion: %w", err)
	}
	if err = errors.Join(err, <-closed); err != nil {
		return err
	}
	s.system.Shutdown()
	s.logger.Info("gabion stopped", "after", time.Since(start).Round(time.Millisecond).String())
	return nil
}

// closeSocket closes the socket beside the tables: a request that waits for a disk is answered when the stop gives
// up on that disk, and gets its answer through a little later than ctx ends.
func (s *Server) closeSocket(ctx context.Context) error {
	if s.socket == nil {
		return nil
	}
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endGrace, cancel) })()
	return s.socket.Close(later)
}
