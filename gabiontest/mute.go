package gabiontest

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// mute passes on what one Gabion logs, until its power is lost: a process that is gone logs nothing. What it runs into on
// its way out, on a disk without power, is no fault that a test should see.
type mute struct {
	slog.Handler
	silent *atomic.Bool
}

// muted returns a logger that logs to l until silent is set; nil for nil.
func muted(l *slog.Logger, silent *atomic.Bool) *slog.Logger {
	if l == nil {
		return nil
	}
	return slog.New(&mute{l.Handler(), silent})
}

// Enabled implements slog.Handler.
func (m *mute) Enabled(ctx context.Context, level slog.Level) bool {
	return !m.silent.Load() && m.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (m *mute) Handle(ctx context.Context, r slog.Record) error {
	if m.silent.Load() {
		return nil
	}
	return m.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (m *mute) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &mute{m.Handler.WithAttrs(attrs), m.silent}
}

// WithGroup implements slog.Handler.
func (m *mute) WithGroup(name string) slog.Handler {
	return &mute{m.Handler.WithGroup(name), m.silent}
}
