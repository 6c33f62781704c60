package ops

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
)

// Server is a Gabion that runs by a Config, in an actor system of its own.
type Server struct {
	logger *slog.Logger
	system *actor.ActorSystem
	gabion *actors.Gabion
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
	var err error
	if s.gabion, err = actors.Start(ctx, s.system, gabion); err != nil {
		s.system.Shutdown()
		return nil, err
	}
	return s, nil
}

// Gabion is what the server runs.
func (s *Server) Gabion() *actors.Gabion { return s.gabion }

// Stop drains: what was accepted is committed and answered, then every table is closed. When ctx ends first, the
// error names what hangs.
func (s *Server) Stop(ctx context.Context) error {
	start := time.Now()
	if err := s.gabion.Stop(ctx); err != nil {
		return fmt.Errorf("stop gabion: %w", err)
	}
	s.system.Shutdown()
	s.logger.Info("gabion stopped", "after", time.Since(start).Round(time.Millisecond).String())
	return nil
}
