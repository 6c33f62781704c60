package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestSettle: what comes within the echo of a signal is dropped, what comes after it stays; an end of the context ends
// the wait.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 8)
		for _, after := range []time.Duration{0, signalEcho / 2, signalEcho + time.Millisecond} {
			time.AfterFunc(after, func() { signals <- syscall.SIGTERM })
		}
		start := time.Now()
		settle(t.Context(), signals)
		if took := time.Since(start); took != signalEcho || len(signals) > 0 {
			t.Errorf("settled after %v, %d signals are left", took, len(signals))
		}
		time.Sleep(signalEcho)
		if len(signals) != 1 {
			t.Errorf("%d signals came after it, want 1", len(signals))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start = time.Now()
		settle(ctx, make(chan os.Signal))
		if took := time.Since(start); took != 0 {
			t.Errorf("without a reason to wait it took %v", took)
		}
	})
}
