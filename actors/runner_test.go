package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// run asks for a run and returns who waits for it.
func (h *host) run(label string, tables ...string) *sender {
	s := h.send(h.g.Coordinator(), &messages.BackupAll{Label: label, Tables: tables})
	h.settle()
	return s
}

// report wants one answer, a report.
func (s *sender) report(what string) *messages.BackupReport {
	s.h.Helper()
	report, ok := s.one(what).(*messages.BackupReport)
	if !ok {
		s.h.Errorf("%s was answered %v, want a report", what, s.answers())
	}
	return report
}

// TestRequestsDuringRun: those for the same tables and label share the next run, others queue in their order, and the
// ninth different one is refused.
func TestRequestsDuringRun(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}, CopyTimeout: time.Hour}, func(h *host) {
		seen := h.events()
		release := h.fs.hang(h.T, under(backups+"/a", "create"))
		first := h.run("")
		first.none("the run under way")
		shared := []*sender{h.run(""), h.run("", "b", "a", "b"), h.run("", "a", "b")}
		// Sent after the run under way began: not in its cuts, so in those of the next.
		h.put("b", "late", "value")
		var different []*sender
		for i := range 7 {
			different = append(different, h.run(fmt.Sprint(i)))
		}
		more := h.run("3")
		f := h.run("ninth").failure("the ninth different run", messages.Code_CODE_RESOURCE_EXHAUSTED)
		if f.GetHint() == "" || f.GetRetryAfter() == nil {
			t.Errorf("refusal = %v", f)
		}
		release()
		h.settle()

		runs := []string{first.report("first").GetSet().GetRunId()}
		next := shared[0].report("second").GetSet()
		runs = append(runs, next.GetRunId())
		for _, s := range shared[1:] {
			if id := s.report("shared").GetSet().GetRunId(); id != next.GetRunId() {
				t.Errorf("a request for the same tables got run %s, want %s", id, next.GetRunId())
			}
		}
		h.wantRow(next.GetResults()[1], backedUp)
		if next.GetResults()[1].GetCount() != 1 {
			t.Errorf("the next run has %v, want the late row", next.GetResults()[1])
		}
		for i, s := range different {
			set := s.report("different").GetSet()
			if set.GetLabel() != fmt.Sprint(i) {
				t.Errorf("run %d has label %q", i, set.GetLabel())
			}
			runs = append(runs, set.GetRunId())
		}
		if more.report("shared").GetSet().GetRunId() != different[3].report("different").GetSet().GetRunId() {
			t.Error("two requests with one label got two runs")
		}
		var published []string
		for _, e := range eventsOf[*messages.BackupComplete](seen) {
			published = append(published, e.GetRunId())
		}
		if !slices.Equal(published, runs) || len(slices.Compact(slices.Sorted(slices.Values(runs)))) != 9 {
			t.Errorf("runs ended as %v, want %v, nine different ones", published, runs)
		}
	})
}

// TestStopDuringRun answers everybody who waits for a run, under way or queued.
func TestStopDuringRun(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}}, func(h *host) {
		seen := h.events()
		h.put("a", "key", "value")
		release := h.fs.hang(h.T, under(backups+"/a", "create"))
		first, queued, other := h.run(""), h.run(""), h.run("label")
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := h.g.Stop(ctx); err == nil {
			t.Error("stopped beside a copy that hangs")
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("stop took %v", took)
		}
		h.settle()
		got := rows(first.report("the run under way"))
		h.wantRow(got["a"], failed, "stopping")
		h.wantRow(got["b"], backedUp)
		queued.failure("the queued run", messages.Code_CODE_UNAVAILABLE)
		other.failure("the other queued run", messages.Code_CODE_UNAVAILABLE)
		h.run("late").one("a run asked for after stop")
		if n := len(eventsOf[*messages.BackupComplete](seen)); n != 1 {
			t.Errorf("%d BackupComplete, want 1", n)
		}
		release()
		h.settle()
		h.start()
		h.wantRow(h.backup()["a"], backedUp)
		h.wantNoStaging()
	})
}

// TestClockSteps: backups made while the clock stands decades ahead or behind order by their numbers. The newest is never
// removed in favour of one with a later date.
func TestClockSteps(t *testing.T) {
	disk := vfs.NewMem()
	value := 0
	// Each session is a process of its own: in the year 2000, the bubble's, or now.
	session := func(t *testing.T) {
		h := newHost(t, actors.Config{FS: disk})
		defer h.stop()
		for range 3 {
			value++
			h.put("tasks", "key", fmt.Sprint(value))
			row := h.backup()["tasks"]
			h.wantRow(row, backedUp)
			if want := fmt.Sprintf("%06d_", value); !strings.HasPrefix(row.GetBackupId(), want) {
				t.Errorf("backup %d is %s", value, row.GetBackupId())
			}
			list, err := h.g.ListBackups(h.Context())
			if err != nil || list.GetBackups()[0].GetBackupId() != row.GetBackupId() || list.GetBackups()[0].GetPosition().GetSeq() != uint64(value) {
				t.Errorf("list = %v, %v, want %s first", list.GetBackups(), err, row.GetBackupId())
			}
			if len(list.GetBackups()) != min(value, 3) {
				t.Errorf("%d backups are left", len(list.GetBackups()))
			}
			h.wantRow(h.backup()["tasks"], carried)
			h.wantValue("tasks", "key", fmt.Sprint(value))
		}
	}
	t.Run("now", session)
	t.Run("back", func(t *testing.T) { synctest.Test(t, session) })
	t.Run("forward", session)
	t.Run("back again", func(t *testing.T) { synctest.Test(t, session) })
}

// TestAskerWhoLeaves: a run goes on when the one who asked gives up waiting.
func TestAskerWhoLeaves(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		seen := h.events()
		release := h.fs.hang(h.T, under(backups+"/tasks", "create"))
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		if _, err := h.g.BackupAll(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("backup = %v", err)
		}
		release()
		h.settle()
		if complete := eventsOf[*messages.BackupComplete](seen); len(complete) != 1 || len(complete[0].GetBackedUp()) != 1 {
			t.Errorf("BackupComplete = %v", complete)
		}
		// The late report went to nobody.
		h.wantRow(h.backup()["tasks"], carried)
	})
}
