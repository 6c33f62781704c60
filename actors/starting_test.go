package actors_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestStartBesideHungDirectories: Start returns when its context ends, whichever call of opening the directories hangs, and once
// the disk answers nothing is held any more.
func TestStartBesideHungDirectories(t *testing.T) {
	only := func(path string, kinds ...string) func(fileOp) bool {
		at := under(path, kinds...)
		return func(o fileOp) bool { return at(o) && o.path == path }
	}
	for what, match := range map[string]func(fileOp) bool{
		"stat":        only(dir, "stat"),
		"LOCK":        only(dir+"/LOCK", "lock"),
		"owner.json":  only(dir+"/owner.json", "create", "sync"),
		"gabion.json": only(dir+"/gabion.json", "open"),
		"tables":      only(dir+"/tables", "stat"),
	} {
		t.Run(what, func(t *testing.T) {
			stoppedBubble(t, actors.Config{}, func(h *host) {
				h.start()
				h.put("tasks", "k", "v")
				h.stop()
				var hung atomic.Bool
				open := h.fs.hang(h.T, func(o fileOp) bool {
					if !match(o) {
						return false
					}
					hung.Store(true)
					return true
				})
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				begin := time.Now()
				_, err := actors.Start(ctx, h.system, h.config)
				if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || len(messages.Hints(err)) == 0 || took > 8*time.Second {
					t.Errorf("start = %v after %v, want the context's error with a hint", err, took)
				}
				if !hung.Load() {
					t.Error("nothing hung")
				}
				open()
				h.settle()
				for _, held := range []string{dir + "/owner.json", backups + "/owner.json"} {
					if _, err := h.fs.FS.Stat(held); err == nil {
						t.Errorf("%s is left", held)
					}
				}
				h.start()
				h.wantValue("tasks", "k", "v")
			})
		})
	}
}

// TestStartThatIsCancelled on a disk that answers leaves nothing held when it returns.
func TestStartThatIsCancelled(t *testing.T) {
	stoppedBubble(t, actors.Config{}, func(h *host) {
		for range 50 {
			ctx, cancel := context.WithCancel(context.Background())
			remove := h.fs.on(under(dir+"/LOCK", "lock"), func(fileOp) error { cancel(); return nil })
			if _, err := actors.Start(ctx, h.system, h.config); !errors.Is(err, context.Canceled) {
				t.Errorf("start = %v", err)
			}
			remove()
			h.start()
			h.stop()
		}
	})
}
