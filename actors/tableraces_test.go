package actors_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// drop is a DropTable without a last backup.
func drop(table string) *messages.DropTable {
	return &messages.DropTable{Table: table, WithoutBackup: true}
}

// TestDropBesideStop: what a Gabion that stops does not do, it does not claim.
func TestDropBesideStop(t *testing.T) {
	for range 8 { // the answers race with the stop
		bubble(t, actors.Config{Tables: []string{"tasks", "hung"}}, func(h *host) {
			h.put("tasks", "k", "v")
			release := h.fs.hang(h.T, walSync("hung"))
			h.send(h.pid("hung"), put("k", "v"))
			h.settle()
			stop := async(func() (string, error) { return "", h.g.Stop(h.Context()) })
			h.settle()
			s := h.send(h.g.Supervisor(), drop("tasks"))
			h.settle()
			release()
			pass(time.Minute)
			h.settle()
			stop.want(h, "stop", "")
			_, dropped := s.one("drop").(*messages.TableList)
			h.start()
			if dropped && h.info("tasks").GetState() == open {
				t.Error("a drop was answered with success, and the table is there after a start")
			}
		})
	}
}

// TestChangesBesideStop: tables that come and go while Gabion stops harm neither the schedule nor the process.
func TestChangesBesideStop(t *testing.T) {
	for range 20 {
		h := newHost(t, actors.Config{Tables: []string{"a", "b"}, Interval: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = h.g.Drop(ctx, drop("b"))
					_ = h.g.CreateTable(ctx, "b", true)
				}
			})
		}
		if err := h.g.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		wg.Wait()
		h.g = nil
	}
}

// TestHealthBesideChanges: health answers while tables come and go.
func TestHealthBesideChanges(t *testing.T) {
	h := newHost(t, actors.Config{Tables: []string{"a", "b"}})
	h.put("b", "k", "v")
	h.backup()
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done.Store(true)
		for range 100 {
			_ = h.g.Drop(t.Context(), drop("b"))
			_ = h.g.CreateTable(t.Context(), "b", true)
		}
	})
	for !done.Load() {
		if _, err := h.g.Health(t.Context()); err != nil {
			t.Errorf("health: %v", err)
		}
	}
	wg.Wait()
}

// TestDropBesideARun: a table that is dropped while a run copies it is not tried again, and those that failed are.
func TestDropBesideARun(t *testing.T) {
	inWorld(t, actors.Config{Interval: day, Tables: []string{"a", "b", "c"}}, func(w *world) {
		warned := w.warnings()
		w.up()
		pass(2 * time.Minute)
		for _, table := range []string{"a", "b", "c"} {
			w.put(table, "k", "v")
		}
		heal := w.fs.fail(under(backups+"/a", "create", "mkdir"))
		release := w.fs.hang(w.T, under(backups+"/c", "create"))
		w.run("")
		w.settle()
		if err := w.g.Drop(w.Context(), drop("c")); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		w.settle()
		release()
		w.settle()
		heal()
		pass(12 * time.Hour)
		if n := warned.with("refused"); n > 0 {
			t.Errorf("%d runs were refused", n)
		}
		if n := w.health("a").GetBackups(); n != 2 {
			t.Errorf("the table that failed has %d backups, want 2", n)
		}
	})
}

// TestCreateBesideARun: a table that is made during a run of all does not make that run one that did not end.
func TestCreateBesideARun(t *testing.T) {
	inWorld(t, actors.Config{Interval: day, Tables: []string{"a"}}, func(w *world) {
		w.up()
		pass(2 * time.Minute)
		w.put("a", "k", "v")
		release := w.fs.hang(w.T, under(backups+"/a", "create"))
		run := w.run("")
		w.settle()
		if err := w.g.CreateTable(w.Context(), "fresh", false); err != nil {
			t.Fatal(err)
		}
		release()
		w.settle()
		run.report("run")
		before := len(w.started())
		pass(20 * time.Minute)
		if n := len(w.started()); n != before {
			t.Errorf("%d further runs within 20 minutes", n-before)
		}
	})
}

// TestOpenBesideDrop: an open that waits behind a drop finds no table, also where missing ones may be made.
func TestOpenBesideDrop(t *testing.T) {
	for _, createEmpty := range []bool{false, true} {
		bubble(t, actors.Config{Tables: []string{"tasks", "old"}, CreateEmpty: createEmpty}, func(h *host) {
			h.put("old", "k", "v")
			release := h.fs.hang(h.T, under(dir+"/tables/old/current", "remove"))
			dropped := h.send(h.g.Supervisor(), drop("old"))
			h.settle()
			opened := h.send(h.g.Supervisor(), &messages.OpenTable{Table: "old"})
			h.settle()
			release()
			h.settle()
			if _, ok := dropped.one("drop").(*messages.TableList); !ok {
				t.Errorf("drop: %v", dropped.answers())
			}
			opened.failure("open", messages.Code_CODE_NOT_FOUND)
			if got := h.names(); got != "tasks" {
				t.Errorf("tables = %s", got)
			}
			s := h.send(h.pid("old"), put("k", "v"))
			h.settle()
			s.failure("put to a dropped table", messages.Code_CODE_NOT_FOUND)
		})
	}
}

// TestOpenNeverCreates: a table that was found on disk and is gone when it is opened is missing, not empty.
func TestOpenNeverCreates(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("other", "k", "v")
		h.stop()
		h.config.Tables = []string{"tasks"}
		h.start()
		repair := h.fs.fail(under(dir+"/tables/other/current", "open"))
		if err := h.g.OpenTable(h.Context(), "other"); err == nil {
			t.Error("a table that cannot be read is open")
		}
		if err := h.fs.FS.RemoveAll(dir + "/tables/other"); err != nil {
			t.Fatal(err)
		}
		repair()
		pass(time.Minute)
		h.wantState("other", quarantined)
	})
}

// TestOpenBesideHungBackups: a table on a healthy disk opens though the disk of the backups hangs.
func TestOpenBesideHungBackups(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("other", "k", "v")
		h.stop()
		h.config.Tables = []string{"tasks"}
		h.start()
		release := h.fs.hang(h.T, under(backups, "list", "stat", "open"))
		if err := h.g.CreateTable(h.Context(), "fresh", false); !errors.Is(err, messages.ErrDeadline) {
			t.Errorf("create beside backups that hang: %v", err)
		}
		if err := h.g.OpenTable(h.Context(), "other"); err != nil {
			t.Errorf("open: %v", err)
		}
		h.wantValue("other", "k", "v")
		release()
	})
}

// TestHungSweep: of sweeps of undo that hang there is one, runs go on, and Stop does not give the directory free beside it.
func TestHungSweep(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}, UndoLife: time.Hour}, func(h *host) {
		h.put("old", "k", "v")
		if err := h.g.Drop(h.Context(), drop("old")); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Hour)
		var calls atomic.Int64
		gate := make(chan struct{})
		remove := h.fs.on(under(dir+"/tables/old", "removeall"), func(fileOp) error { calls.Add(1); <-gate; return nil })
		for range 3 {
			h.backup("tasks")
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%d sweeps hang", n)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := h.g.Stop(ctx); err == nil {
			t.Error("stop gave the directories free beside a sweep that hangs")
		}
		if _, err := actors.Start(h.Context(), h.system, h.config); err == nil {
			t.Error("the directory is free beside a sweep that hangs")
		}
		remove()
		close(gate)
		h.settle()
		h.start()
		h.stop()
	})
}
