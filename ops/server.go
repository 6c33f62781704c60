package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
)

// Server is a Gabion that runs by a Config, in an actor system of its own, with its socket.
type Server struct {
	logger *slog.Logger
	system *actor.ActorSystem
	gabion *actors.Gabion
	socket atomic.Pointer[lateSocket] // nil when it is disabled, or not opened yet
	web    *Web                       // nil without an address
}

// Start starts a server and waits until every table is open, or has said why not. HTTP answers from the beginning, and the
// socket once DIR is locked: with the states of tables that are still being opened. When ctx ends first, Start stops what
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
	gabion.Concerns = s.concerns
	gabion.Answering = func(g *actors.Gabion) error { return s.listen(ctx, g, config) }
	// Another command that reads the directory in place is soon gone.
	err := whileHeld(ctx, func() (err error) {
		if config.Before != nil {
			if err := config.Before(ctx); err != nil {
				return err
			}
		}
		s.gabion, err = actors.Start(ctx, s.system, gabion)
		return err
	})
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
		defer cancel()
		_ = s.closeFaces(closing) // what they would have answered is the error
		s.system.Shutdown()
		return nil, err
	}
	return s, nil
}

// listen opens the faces that the configuration asks for, for a Gabion whose tables are still being opened.
func (s *Server) listen(ctx context.Context, g *actors.Gabion, config *Config) error {
	if s.web != nil {
		if err := s.web.ready(g); err != nil {
			return err
		}
	}
	if config.DisableSocket {
		return nil
	}
	socket, err := openSocket(ctx, g, s.logger, socketRetry)
	if err != nil {
		return err
	}
	s.socket.Store(socket)
	return nil
}

// concerns are what is wrong with the server itself, for health.
func (s *Server) concerns() []string {
	if socket := s.socket.Load(); socket != nil {
		if text := socket.concern(); text != "" {
			return []string{text}
		}
	}
	return nil
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
	if socket := s.socket.Load(); socket != nil {
		wg.Go(func() { errs[0] = socket.close(later) })
	}
	if s.web != nil {
		wg.Go(func() { errs[1] = s.web.Close(later) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
