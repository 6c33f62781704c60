package store

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// pebbleLogger hands Pebble's log to slog. Fatalf, after which Pebble expects the process to be gone,
// freezes the store and returns.
type pebbleLogger struct {
	logger *slog.Logger
	freeze func(cause error)
}

var _ pebble.Logger = pebbleLogger{}

func (l pebbleLogger) Infof(format string, args ...any) {
	l.logger.Debug("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.logger.Warn("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.logger.Error("pebble would end the process: the store freezes instead", "error", text)
	l.freeze(fmt.Errorf("pebble: %s", text))
}
