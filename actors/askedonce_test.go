package actors_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestHungCallsAreBounded: however often something is asked of a disk that hangs, few goroutines wait there, and they end
// once it answers.
func TestHungCallsAreBounded(t *testing.T) {
	listed := under(backups+"/tasks", "list")
	for what, c := range map[string]struct {
		hangs func(fileOp) bool
		ask   func(h *host, id string) error
	}{
		"run": {listed, func(h *host, _ string) error {
			row := h.backup()["tasks"]
			if row.GetFailure() == nil {
				return nil
			}
			return row.GetFailure()
		}},
		"retention": {under(dir+"/tables/tasks", "list"), func(h *host, _ string) error {
			run := h.run("")
			pass(5 * time.Minute)
			h.settle()
			if len(run.report("run").GetFaults()) > 0 {
				return messages.ErrDeadline
			}
			return nil
		}},
		"set": {under(backups+"/sets", "create"), func(h *host, _ string) error {
			report, err := h.g.Backup(h.Context(), &messages.BackupAll{})
			if err == nil && len(report.GetFaults()) > 0 {
				return messages.ErrDeadline
			}
			return err
		}},
		"pin": {listed, func(h *host, id string) error {
			_, err := h.g.PinBackup(h.Context(), &messages.PinBackup{Table: "tasks", BackupId: id, Reason: "kept"})
			return err
		}},
		"acknowledgement": {under(dir+"/losses", "list"), func(h *host, _ string) error {
			_, err := h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{All: true})
			return err
		}},
		"backup that is read": {listed, func(h *host, id string) error {
			ctx, cancel := context.WithTimeout(h.Context(), time.Second)
			defer cancel()
			o, err := h.g.OpenBackup(ctx, "tasks", id, false)
			if err == nil {
				err = o.Close()
			}
			return err
		}},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				h.put("tasks", "k", "v")
				id := h.backup()["tasks"].GetBackupId()
				var calls atomic.Int64
				gate := make(chan struct{})
				remove := h.fs.on(c.hangs, func(fileOp) error { calls.Add(1); <-gate; return nil })
				answer := sync.OnceFunc(func() {
					remove()
					close(gate)
				})
				defer answer()
				before := runtime.NumGoroutine()
				for range 40 {
					if err := c.ask(h, id); !errors.Is(err, messages.ErrDeadline) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("a call beside a disk that hangs = %v", err)
						break
					}
				}
				if left := runtime.NumGoroutine() - before; calls.Load() < 1 || left > 20 {
					t.Errorf("%d calls of the disk hang, and %d goroutines were left behind", calls.Load(), left)
				}
				answer()
				h.settle()
				pass(time.Minute)
				if err := c.ask(h, id); err != nil {
					t.Errorf("a call once the disk answers = %v", err)
				}
			})
		})
	}
}
