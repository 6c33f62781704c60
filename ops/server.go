package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	web    *Web    // nil without an address
}

// Start starts a server and waits until every table is open, or has said why not. When ctx ends first, it stops what
// it began. logger receives everything that is logged; nil means no logs.
func Start(ctx context.Context, config *Config, logger *slog.Logger) (*Server, error) {
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	s := &Server{logger: logger}
	// Before anything is made: a fault there leaves no directory behind.
	if config.Web.Address != "" {
		opened, err := config.Web.open(ctx, logger)
		if err == nil {
			s.web, err = opened.answer(config.Gabion.Dir)
		}
		if err != nil {
			return nil, err
		}
	}
	// Before a disk is asked that may hang.
	logger.Info("starting", "dir", config.Gabion.Dir)
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
		if s.web != nil {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
			defer cancel()
			_ = s.web.Close(closing) // what it would have answered is the error
		}
		return nil, err
	}
	if err := s.listen(ctx, config); err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(config.StopTimeout, 30*time.Second))
		defer cancel()
		return nil, errors.Join(err, s.Stop(stopping))
	}
	return s, nil
}

// listen opens the faces that the configuration asks for.
func (s *Server) listen(ctx context.Context, config *Config) (err error) {
	if s.web != nil {
		if err = s.web.ready(s.gabion); err != nil {
			return err
		}
	}
	if !config.DisableSocket {
		s.socket, err = ListenSocket(ctx, s.gabion, SocketOptions{Logger: s.logger})
	}
	return err
}

// Web answers HTTP; nil where the configuration has no address.
func (s *Server) Web() *Web { return s.web }

// Gabion is what the server runs.
func (s *Server) Gabion() *actors.Gabion { return s.gabion }

// Stop drains: what was accepted is committed and answered, then every table is closed. When ctx ends first, the
// error names what hangs.
func (s *Server) Stop(ctx context.Context) error {
	start := time.Now()
	closed := make(chan error, 1)
	go func() { closed <- s.closeFaces(ctx) }()
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

// closeFaces closes the socket and the web beside the tables: a request that waits for a disk is answered when the stop
// gives up on that disk, and gets its answer through a little later than ctx ends.
func (s *Server) closeFaces(ctx context.Context) error {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endGrace, cancel) })()
	errs := make([]error, 2)
	var wg sync.WaitGroup
	if s.socket != nil {
		wg.Go(func() { errs[0] = s.socket.Close(later) })
	}
	if s.web != nil {
		wg.Go(func() { errs[1] = s.web.Close(later) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
