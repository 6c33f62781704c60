package ops

import (
	"context"
	"io"
	"log/slog"
	"strings"
)

// The formats of a log.
const (
	// LogText is one line of key=value for each record.
	LogText = "text"
	// LogJSON is one JSON object on a line for each record.
	LogJSON = "json"
)

// Logger returns a logger of the format and level of c that writes to w.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	switch strings.ToLower(c.LogLevel) {
	case "debug":
		level = slog.LevelDebug
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// systemLogger is what the actor system logs to: warnings and errors alone, since it would log each dead letter
// with the keys and values in it.
func systemLogger(logger *slog.Logger) *slog.Logger {
	return slog.New(warnings{logger.Handler()})
}

// warnings is a handler that drops what is below a warning.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h warnings) WithGroup(name string) slog.Handler { return warnings{h.Handler.WithGroup(name)} }
