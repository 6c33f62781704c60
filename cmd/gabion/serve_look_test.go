package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gabiondb/gabion/ops"
)

// TestServeWaitsForADisk: a disk that does not answer when serve looks at its directory is named in the log, and looked at again
// behind the listeners, until it answers or the signal comes.
func TestServeWaitsForADisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		logger, found := slog.New(slog.NewTextHandler(&log, nil)), errors.New("found something")
		var config ops.Config
		config.Gabion.Dir = "/data"
		if err := lookFirst(&config, logger, func() error { return found }); !errors.Is(err, found) || config.Before != nil {
			t.Errorf("a disk that answers: %v", err)
		}
		healed := make(chan struct{})
		if err := lookFirst(&config, logger, func() error { <-healed; return found }); err != nil || config.Before == nil {
			t.Fatalf("a disk that hangs: %v", err)
		}
		if text := log.String(); !strings.Contains(text, "does not answer") || !strings.Contains(text, "dir=/data") {
			t.Errorf("log: %s", text)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := config.Before(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("after the signal: %v", err)
		}
		close(healed)
		if err := config.Before(t.Context()); !errors.Is(err, found) {
			t.Errorf("once it answers: %v", err)
		}
	})
}
