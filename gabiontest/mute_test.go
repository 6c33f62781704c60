package gabiontest_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
)

// record keeps what is logged.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// TestCrashLogsNoError: a power loss, quiet or in the midst of writes, a run, a verify and a drill, logs neither an error nor a
// warning in a test that passes. What the Gabion after it logs is there.
func TestCrashLogsNoError(t *testing.T) {
	for name, config := range map[string]actors.Config{
		"quiet":     {},
		"scheduled": {Interval: time.Hour, DrillEvery: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logged := &record{}
				config.Tables = []string{"task_queue", "mailbox"}
				config.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
				k := gabiontest.StartConfig(t, config)
				ctx := context.Background()
				var wg sync.WaitGroup
				crashes := 0
				for _, crash := range []func(){k.Crash, func() { k.CrashPartly(50, 1) }, k.Crash} {
					put(t, k, "task_queue", "key", "value")
					if _, err := k.Gabion().BackupAll(ctx); err != nil {
						t.Error(err)
					}
					g := k.Gabion()
					wg.Go(func() { _, _ = g.Table("mailbox").Put(ctx, []byte("key"), []byte("value")) })
					wg.Go(func() { _, _ = g.BackupAll(ctx) })
					wg.Go(func() { _, _ = g.VerifyBackup(ctx, "task_queue", "1") })
					crash()
					crashes++
					wg.Wait()
					want(t, k, "task_queue", "key", "value")
				}
				k.Restart()
				for line := range strings.Lines(logged.String()) {
					if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") {
						t.Errorf("logged: %s", line)
					}
				}
				if n := strings.Count(logged.String(), "gabion started"); n != crashes+2 {
					t.Errorf("%d starts are logged, want %d", n, crashes+2)
				}
			})
		})
	}
}
