package ops

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestLogger(t *testing.T) {
	for level, want := range map[string]int{"": 3, "debug": 4, "info": 3, "warn": 2, "error": 1} {
		for _, format := range []string{"", LogText, LogJSON} {
			var b bytes.Buffer
			logger := (&Config{LogFormat: format, LogLevel: level}).Logger(&b)
			logger.Debug("a")
			logger.Info("b")
			logger.Warn("c")
			logger.Error("d")
			lines := strings.Split(strings.TrimSpace(b.String()), "\n")
			if len(lines) != want {
				t.Errorf("level %q, format %q: %d lines, want %d", level, format, len(lines), want)
			}
			if json.Valid([]byte(lines[0])) != (format == LogJSON) {
				t.Errorf("format %q: %s", format, lines[0])
			}
		}
	}
}

// The actor system tells keys and values below a warning.
func TestSystemLoggerKeepsQuiet(t *testing.T) {
	var b bytes.Buffer
	logger := systemLogger((&Config{LogLevel: "debug"}).Logger(&b)).With("lib", "x").WithGroup("g")
	logger.Debug("a")
	logger.Info("b")
	logger.Warn("c", "k", "v")
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "msg=c lib=x g.k=v") {
		t.Errorf("got %q", got)
	}
}
