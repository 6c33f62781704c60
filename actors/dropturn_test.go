package actors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// behindARun runs test while a run of "other" hangs, which every further run waits for, until release.
func behindARun(t *testing.T, test func(h *host, release func())) {
	t.Helper()
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, CopyTimeout: time.Hour}, func(h *host) {
		h.put("tasks", "before", "v")
		h.put("other", "k", "v")
		release := h.fs.hang(h.T, under(backups+"/other", "create"))
		h.send(h.g.Coordinator(), &messages.BackupAll{Tables: []string{"other"}})
		h.settle()
		test(h, release)
	})
}

// TestWritesGoOnBeforeADropsTurn: a drop behind another run refuses nothing; what was written meanwhile is in its backup.
func TestWritesGoOnBeforeADropsTurn(t *testing.T) {
	behindARun(t, func(h *host, release func()) {
		drop := async(func() (string, error) { return "", h.g.DropTable(h.Context(), "tasks") })
		h.settle()
		for i := range 3 {
			pass(time.Minute)
			h.put("tasks", fmt.Sprint(i), "v")
		}
		drop.pending(h, "drop")
		again := h.send(h.g.Supervisor(), &messages.DropTable{Table: "tasks"})
		h.settle()
		again.failure("second drop", messages.Code_CODE_UNAVAILABLE)
		copies := h.fs.hang(h.T, under(backups+"/tasks", "create"))
		release()
		h.settle()
		late := h.send(h.pid("tasks"), put("late", "v"))
		h.settle()
		late.failure("put once the turn has come", messages.Code_CODE_UNAVAILABLE)
		copies()
		h.settle()
		drop.want(h, "drop", "")
		detail, err := h.g.ShowBackup(h.Context(), "tasks", "1")
		if err != nil || detail.GetBackup().GetCount() != 4 {
			t.Errorf("last backup has %d rows, %v, want 4", detail.GetBackup().GetCount(), err)
		}
	})
}

// TestDropIsGivenUpBeforeItsTurn: by its caller's context, by its deadline, and by a context that ends with no deadline. The table
// is as it was, and another drop is taken at once.
func TestDropIsGivenUpBeforeItsTurn(t *testing.T) {
	for name, give := range map[string]func(h *host) error{
		"context's deadline": func(h *host) error {
			ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
			defer cancel()
			return h.g.DropTable(ctx, "tasks")
		},
		"cancel": func(h *host) error {
			ctx, cancel := context.WithCancel(h.Context())
			time.AfterFunc(time.Minute, cancel)
			return h.g.DropTable(ctx, "tasks")
		},
		"message's deadline": func(h *host) error {
			s := h.send(h.g.Supervisor(), &messages.DropTable{Table: "tasks", Deadline: timestamppb.New(time.Now().Add(time.Minute))})
			pass(time.Minute + time.Second)
			h.settle()
			return s.failure("drop", messages.Code_CODE_DEADLINE_EXCEEDED)
		},
	} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, closed %v", name, closed), func(t *testing.T) {
				behindARun(t, func(h *host, release func()) {
					want := open
					if closed {
						want = messages.TableState_TABLE_STATE_CLOSED
						if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
							t.Fatal(err)
						}
					}
					begin := time.Now()
					err := give(h)
					if took := time.Since(begin); took > time.Minute+time.Second || err == nil || errors.Is(err, messages.ErrOutcomeUnknown) {
						t.Errorf("drop = %v after %v", err, took)
					}
					h.settle()
					h.wantState("tasks", want)
					again := h.send(h.g.Supervisor(), &messages.DropTable{Table: "tasks", Deadline: timestamppb.New(time.Now().Add(time.Minute))})
					pass(2 * time.Minute)
					h.settle()
					again.failure("second drop", messages.Code_CODE_DEADLINE_EXCEEDED)
					release()
					h.settle()
					h.wantState("tasks", want)
					if list, err := h.g.ListBackups(h.Context(), "tasks"); err != nil || len(list.GetBackups()) > 0 {
						t.Errorf("a drop that was given up left the backups %v, %v", list.GetBackups(), err)
					}
					if !closed {
						h.put("tasks", "after", "v")
					}
				})
			})
		}
	}
}

// TestDropGoesOnAfterItsTurn, whatever its caller does, and the error says so.
func TestDropGoesOnAfterItsTurn(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, CopyTimeout: time.Hour}, func(h *host) {
		h.put("tasks", "k", "v")
		release := h.fs.hang(h.T, under(backups+"/tasks", "create"))
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		if err := h.g.DropTable(ctx, "tasks"); !errors.Is(err, messages.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drop = %v", err)
		}
		release()
		h.settle()
		if got := h.names(); got != "other" {
			t.Errorf("tables = %s", got)
		}
	})
}

// TestDropThatExpiresInItsRun: a caller that gives up after the run has begun and before the cut is not dropped on.
func TestDropThatExpiresInItsRun(t *testing.T) {
	bubble(t, actors.Config{CopyTimeout: time.Hour}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		release := h.fs.hang(h.T, under(backups+"/tasks", "list", "open", "stat"))
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		if err := h.g.DropTable(ctx, "tasks"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, messages.ErrOutcomeUnknown) {
			t.Errorf("drop = %v", err)
		}
		h.put("tasks", "after", "v")
		release()
		h.settle()
		h.wantState("tasks", open)
		h.put("tasks", "later", "v")
	})
}

// TestClosedTableStaysClosed where its last backup fails.
func TestClosedTableStaysClosed(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		defer h.fs.fail(under(backups+"/tasks", "create"))()
		if err := h.g.DropTable(h.Context(), "tasks"); err == nil {
			t.Error("dropped without its backup")
		}
		h.wantState("tasks", messages.TableState_TABLE_STATE_CLOSED)
	})
}

// TestStopEndsDropsThatWait: each is answered, and nothing is dropped.
func TestStopEndsDropsThatWait(t *testing.T) {
	behindARun(t, func(h *host, release func()) {
		drop := h.send(h.g.Supervisor(), &messages.DropTable{Table: "tasks"})
		h.settle()
		stop := async(func() (string, error) { return "", h.g.Stop(context.Background()) })
		h.settle()
		drop.failure("drop", messages.Code_CODE_UNAVAILABLE)
		release()
		h.settle()
		pass(time.Minute)
		stop.want(h, "stop", "")
		h.start()
		h.wantValue("tasks", "before", "v")
	})
}

// TestDropsThatAreGivenUpLeaveNoRuns: their places in the queue are free at once, and no run begins for them.
func TestDropsThatAreGivenUpLeaveNoRuns(t *testing.T) {
	behindARun(t, func(h *host, release func()) {
		events := h.events()
		for range 20 {
			ctx, cancel := context.WithTimeout(h.Context(), time.Second)
			if err := h.g.DropTable(ctx, "tasks"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("drop = %v", err)
			}
			cancel()
			h.settle()
		}
		release()
		h.settle()
		if n := len(eventsOf[*messages.BackupStarted](events)); n != 0 {
			t.Errorf("%d runs began for drops that were given up", n)
		}
	})
}

// TestExpiredDropWithoutBackup drops nothing.
func TestExpiredDropWithoutBackup(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		m := drop("tasks")
		m.Deadline = timestamppb.New(time.Now().Add(-time.Second))
		s := h.send(h.g.Supervisor(), m)
		h.settle()
		s.failure("expired drop", messages.Code_CODE_DEADLINE_EXCEEDED)
		h.put("tasks", "k", "v")
	})
}

// TestDropSharesNoRun: a run that somebody else asked for just so is not the drop's last one.
func TestDropSharesNoRun(t *testing.T) {
	behindARun(t, func(h *host, release func()) {
		alike := &messages.BackupAll{Tables: []string{"tasks"}, Label: "before drop", Pin: true}
		first := h.send(h.g.Coordinator(), alike)
		h.settle()
		drop := h.send(h.g.Supervisor(), &messages.DropTable{Table: "tasks"})
		h.settle()
		second := h.send(h.g.Coordinator(), alike)
		h.settle()
		events := h.events()
		copies := h.fs.hang(h.T, under(backups+"/tasks", "create"))
		release()
		h.settle()
		h.put("tasks", "beside the other's run", "v")
		copies()
		h.settle()
		if _, ok := drop.one("drop").(*messages.TableList); !ok {
			t.Errorf("drop was answered %v", drop.answers())
		}
		for _, s := range []*sender{first, second} {
			if _, ok := s.one("run").(*messages.BackupReport); !ok {
				t.Errorf("run was answered %v", s.answers())
			}
		}
		if n := len(eventsOf[*messages.BackupStarted](events)); n != 2 {
			t.Errorf("%d runs began after the first, want 2", n)
		}
	})
}
