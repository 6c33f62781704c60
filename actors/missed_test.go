package actors_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestGoneDirectoryIsNotMadeAgain: a table that served is missing when its directory is gone at the next open, never empty.
func TestGoneDirectoryIsNotMadeAgain(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			h.Fatal(err)
		}
		if err := h.fs.FS.Rename("/data/tables/tasks", "/elsewhere"); err != nil {
			h.Fatal(err)
		}
		err := h.g.OpenTable(h.Context(), "tasks")
		_, gerr := h.g.Table("tasks").Get(h.Context(), []byte("k"))
		h.Logf("open: %v; get: %v; state %v", err, gerr, h.info("tasks"))
		if err == nil {
			h.Errorf("an acknowledged row is gone, and the table serves")
		}
	})
}

// TestGoneDirectoryAfterFault: the same when a fault reopens it.
func TestGoneDirectoryAfterFault(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		remove := h.fs.fail(walSync("tasks"))
		s := h.send(h.pid("tasks"), put("x", "y"))
		h.settle()
		h.Log(s.answers())
		_ = h.fs.FS.Rename("/data/tables/tasks", "/elsewhere")
		remove()
		pass(5 * time.Second)
		h.settle()
		_, gerr := h.g.Table("tasks").Get(h.Context(), []byte("k"))
		h.Logf("get: %v; state %v", gerr, h.info("tasks"))
		if h.info("tasks").GetState() == messages.TableState_TABLE_STATE_OPEN {
			h.Errorf("an acknowledged row is gone, and the table serves")
		}
	})
}

// TestStopAnswersHungReads: reads that hang when the time to stop is over are answered.
func TestStopAnswersHungReads(t *testing.T) {
	bubble(t, actors.Config{Readers: 2, CacheBytes: 1}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup() // flushes
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			h.Fatal(err)
		}
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			h.Fatal(err)
		}
		open := h.fs.hang(h.T, under("/data/tables/tasks", "open", "read"))
		var senders []*sender
		for range 4 {
			senders = append(senders, h.send(h.pid("tasks"), get("k")))
		}
		h.settle()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		h.Log(h.g.Stop(ctx))
		h.settle()
		for i, s := range senders {
			if len(s.answers()) != 1 {
				h.Errorf("get %d was answered %d times after Stop returned", i, len(s.answers()))
			}
		}
		open()
	})
}

// TestHungLineages: who asked for a run that hangs is answered by Stop at the latest.
func TestHungLineages(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		open := h.fs.hang(h.T, under("/data/tables/tasks", "list"))
		s := h.send(h.g.Coordinator(), &messages.BackupAll{})
		h.settle()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		h.Log(h.g.Stop(ctx))
		h.settle()
		if len(s.answers()) != 1 {
			h.Errorf("BackupAll was not answered by Stop either")
		}
		open()
	})
}

// TestCutThatPanics: a cut on which the committer panics is answered.
func TestCutThatPanics(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		remove := h.fs.on(func(o fileOp) bool { return o.kind == "mkdir" && strings.Contains(o.path, "/staging/") }, func(fileOp) error { panic("cut") })
		s := h.send(h.pid("tasks"), &messages.Cut{RunId: "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
		pass(time.Minute)
		h.settle()
		remove()
		if len(s.answers()) != 1 {
			h.Errorf("cut was answered %d times", len(s.answers()))
		}
	})
}

// TestListBackupsTellsErrors: a list that cannot be made is a failure, not empty.
func TestListBackupsTellsErrors(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		list, err := h.g.ListBackups(h.Context(), "No Such")
		if err == nil {
			h.Errorf("bad name: %v, %v", list, err)
		}
		defer h.fs.fail(under(backups, "list"))()
		list, err = h.g.ListBackups(h.Context())
		if err == nil {
			h.Errorf("a directory that cannot be listed has %d backups, no error", len(list.GetBackups()))
		}
	})
}

// TestHostStopsPanickingOwner: a host that stops the supervisor while an owner panics leaves no request unanswered.
func TestHostStopsPanickingOwner(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		entered, gate := make(chan struct{}), make(chan struct{})
		h.middle.set(func(name string, m any) {
			if p, ok := m.(*messages.Put); ok && string(p.GetKey()) == "boom" {
				close(entered)
				<-gate
				panic("boom")
			}
		}, nil)
		pid := h.pid("tasks")
		s0 := h.send(pid, put("boom", "v"))
		<-entered
		var senders []*sender
		for i := range 5 {
			senders = append(senders, h.send(pid, put(fmt.Sprint(i), "v")))
		}
		h.system.Root.Stop(h.g.Supervisor())
		h.settle()
		close(gate)
		began := time.Now()
		pass(time.Minute)
		h.settle()
		h.Log("boom:", s0.answers())
		for i, s := range senders {
			if len(s.answers()) != 1 {
				h.Errorf("put %d was answered %d times, %v", i, len(s.answers()), s.answers())
			} else {
				h.Log(s.answers())
			}
		}
		err := h.g.Stop(h.Context())
		h.Log(time.Since(began), err)
	})
}
