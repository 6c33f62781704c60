package actors_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// sstables matches the reads of those of a table's backups.
func sstables(table string) func(fileOp) bool {
	return func(o fileOp) bool {
		return o.kind == "read" && strings.HasPrefix(o.path, backups+"/"+table+"/") && strings.HasSuffix(o.path, ".sst")
	}
}

// TestVerifyLeftBehindTellsNothing: a verify whose disk hangs is left behind, and when the disk answers, whoever asked is gone, or
// hears of the next backup.
func TestVerifyLeftBehindTellsNothing(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"other", "tasks"}, DisableDrill: true}, func(h *host) {
		h.put("other", "a", "v")
		h.put("tasks", "a", "v")
		h.backup()
		open := h.fs.hang(h.T, sstables("other"))
		ctx, leave := context.WithCancel(h.Context())
		var gone atomic.Bool
		ended := make(chan error, 1)
		go func() {
			err := h.g.VerifyEach(ctx, &messages.VerifyBackup{}, func(u *messages.VerifyUpdate) error {
				if gone.Load() {
					t.Errorf("told after the end: %v", u)
				}
				return nil
			})
			gone.Store(true)
			ended <- err
		}()
		pass(time.Second)
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("verify ends with %v", err)
		}
		open()
		pass(time.Minute)
	})
}

// TestRestoreLeftBehindTellsNothing: as of a verify.
func TestRestoreLeftBehindTellsNothing(t *testing.T) {
	bubble(t, actors.Config{DisableDrill: true}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		open := h.fs.hang(h.T, sstables("tasks"))
		gone := false
		_, err := h.g.RestoreFollowed(h.Context(), &messages.RestoreTable{Table: "tasks"}, func(p *messages.Progress) {
			if gone {
				t.Errorf("told after the end: %v", p)
			}
		})
		if !errors.Is(err, messages.ErrDeadline) {
			t.Errorf("restore ends with %v", err)
		}
		gone = true
		open()
		pass(time.Minute)
	})
}
