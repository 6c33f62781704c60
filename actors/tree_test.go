package actors_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestStartWithoutTime: Start with a context that has ended leaves nothing behind: no lock, no actor, no goroutine.
func TestStartWithoutTime(t *testing.T) {
	stoppedBubble(t, actors.Config{}, func(h *host) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 20 {
			g, err := actors.Start(ctx, h.system, h.config)
			if err == nil {
				err = g.Stop(context.Background()) // it was fast enough
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("start = %v", err)
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("start, then stop = %v", err)
			}
			h.settle()
		}
		h.start()
		h.put("tasks", "key", "value")
	})
}

// TestStartBesideHungDisk: Start gives up when its context ends while a table's open hangs, and what hangs ends by
// itself once the call returns.
func TestStartBesideHungDisk(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		open := h.fs.hang(h.T, under(dir+"/tables/tasks", "create"))
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := actors.Start(ctx, h.system, h.config)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 8*time.Second {
			t.Errorf("start = %v after %v", err, took)
		}
		wantText(t, err.Error(), `table "tasks"`)
		open()
		h.settle()
		h.start()
		h.put("tasks", "key", "value")
	})
}

// TestTwoGabionsInOneSystem, under two names: neither knows of the other.
func TestTwoGabionsInOneSystem(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		config := h.config
		config.Name, config.Dir = "second", "/second"
		second, err := actors.Start(h.Context(), h.system, config)
		if err != nil {
			t.Fatal(err)
		}
		h.put("tasks", "key", "first")
		if _, err := second.Table("tasks").Put(h.Context(), []byte("key"), []byte("second")); err != nil {
			t.Error(err)
		}
		h.backup()
		if _, err := second.BackupAll(h.Context()); err != nil {
			t.Error(err)
		}
		if err := second.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		h.wantValue("tasks", "key", "first")
		h.put("tasks", "key", "again")

		// One name serves one Gabion; the refused one gives its directory free.
		config.Name = ""
		_, err = actors.Start(h.Context(), h.system, config)
		if !errors.Is(err, actor.ErrNameExists) || len(messages.Hints(err)) == 0 {
			t.Errorf("start under a name in use = %v", err)
		}
		h.settle()
		h.wantValue("tasks", "key", "again")
		config.Name = "second"
		if second, err = actors.Start(h.Context(), h.system, config); err != nil {
			t.Fatal(err)
		}
		value, err := second.Table("tasks").Get(h.Context(), []byte("key"))
		if err != nil || string(value) != "second" {
			t.Errorf("get = %q, %v", value, err)
		}
		if err := second.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestHostStopsItsParent: a Gabion under an actor of the host ends with that actor: all that was sent is committed, every
// store closed, the directory free.
func TestHostStopsItsParent(t *testing.T) {
	stoppedBubble(t, actors.Config{}, func(h *host) {
		spawners := make(chan actor.Context, 1)
		hold := make(chan struct{})
		parent := h.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Started); ok {
				// The actor lends its context while it waits.
				spawners <- c
				<-hold
			}
		}))
		h.config.Spawn = (<-spawners).SpawnNamed
		h.start()
		close(hold)
		if id := h.pid("tasks").GetId(); id != parent.GetId()+"/gabion/tasks" {
			t.Errorf("owner is %s", id)
		}
		write := h.send(h.pid("tasks"), put("key", "value"))
		h.system.Root.Stop(parent)
		h.settle()
		write.committed("put")
		if _, ok := h.system.ProcessRegistry.Get(parent); ok {
			t.Error("the parent is still there")
		}
		late := h.send(h.pid("tasks"), put("late", "value"))
		h.settle()
		late.one("late put")
		if err := h.g.Stop(context.Background()); err != nil {
			t.Errorf("stop after the parent's = %v", err)
		}
		h.config.Spawn = nil
		h.start()
		h.wantValue("tasks", "key", "value")
	})
}

// TestHostStopsSupervisor: the framework's Stop of the supervisor is a Stop.
func TestHostStopsSupervisor(t *testing.T) {
	for what, stop := range map[string]func(h *host){
		"stop":   func(h *host) { h.system.Root.Stop(h.g.Supervisor()) },
		"poison": func(h *host) { h.system.Root.Poison(h.g.Supervisor()) },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				write := h.send(h.pid("tasks"), put("key", "value"))
				stop(h)
				list := h.send(h.g.Supervisor(), &messages.ListTables{})
				h.settle()
				write.committed("put")
				list.one("list")
				h.start()
				h.wantValue("tasks", "key", "value")
			})
		})
	}
}
