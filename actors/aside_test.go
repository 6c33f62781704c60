package actors_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
)

// panickyLogger panics on one line.
type panickyLogger struct {
	slog.Handler
	line string
}

func (l panickyLogger) Enabled(context.Context, slog.Level) bool { return true }

func (l panickyLogger) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.line {
		panic("logger")
	}
	return nil
}

func (l panickyLogger) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l panickyLogger) WithGroup(string) slog.Handler      { return l }

// TestPanicsBeside: a panic in the work that nobody waits for ends neither the process nor the tables.
func TestPanicsBeside(t *testing.T) {
	for _, line := range []string{"table healed", "table is damaged: what is read from there fails", "backup is red"} {
		t.Run(line, func(t *testing.T) {
			config := drilling(actors.Config{Tables: []string{"tasks", "other"}, SelfHeal: true,
				Logger: slog.New(panickyLogger{slog.DiscardHandler, line})})
			bubble(t, config, func(h *host) {
				for _, key := range strings.Fields("a b c d e f g h") {
					h.put("tasks", key, strings.Repeat(key, 1000))
				}
				id := h.backup()["tasks"].GetBackupId()
				pass(time.Minute)
				if line == "backup is red" {
					h.damage(h.sstable(h.backupPath("tasks", id)))
				} else {
					h.damage(h.sstable(h.lineage("tasks")))
				}
				pass(25 * time.Hour)
				h.settle()
				h.put("other", "k", "v")
				h.wantValue("other", "k", "v")
			})
		})
	}
}
