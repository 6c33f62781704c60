package actors_test

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
)

// TestStartInReceive: an actor may start Gabion, use it and stop it while it receives a message, with the supervisor under the
// root or under itself.
func TestStartInReceive(t *testing.T) {
	for _, where := range []string{"under the root", "under the actor"} {
		t.Run(where, func(t *testing.T) {
			stoppedBubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
				type outcome struct {
					what string
					err  error
				}
				outcomes := make(chan outcome, 10)
				done := make(chan struct{})
				props := actor.PropsFromFunc(func(c actor.Context) {
					if _, ok := c.Message().(*actor.Started); !ok {
						return
					}
					defer close(done)
					config := h.config
					if where == "under the actor" {
						config.Spawn = c.SpawnNamed
					}
					g, err := actors.Start(h.Context(), h.system, config)
					outcomes <- outcome{"start", err}
					if err != nil {
						return
					}
					if got, want := g.Supervisor().GetId(), c.Self().GetId()+"/gabion"; where == "under the actor" && got != want {
						t.Errorf("supervisor is %s, want %s", got, want)
					}
					_, err = g.Table("tasks").Put(h.Context(), []byte("k"), []byte("v"))
					outcomes <- outcome{"put", err}
					_, err = g.BackupAll(h.Context())
					outcomes <- outcome{"backup", err}
					_, err = g.Health(h.Context())
					outcomes <- outcome{"health", err}
					outcomes <- outcome{"stop", g.Stop(h.Context())}
				})
				begin := time.Now()
				h.system.Root.Spawn(props)
				<-done
				close(outcomes)
				for o := range outcomes {
					if o.err != nil {
						t.Errorf("%s: %v", o.what, o.err)
					}
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestStartInReceiveOfAnActorThatRestarts: the framework ends the supervisor before it restarts the actor above it, so the next
// Start finds the name and the directory free.
func TestStartInReceiveOfAnActorThatRestarts(t *testing.T) {
	stoppedBubble(t, actors.Config{}, func(h *host) {
		started := make(chan *actors.Gabion, 1)
		pid := h.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message().(type) {
			case *actor.Started:
				config := h.config
				config.Spawn = c.SpawnNamed
				g, err := actors.Start(h.Context(), h.system, config)
				if err != nil {
					t.Errorf("start: %v", err)
					return
				}
				started <- g
			case string:
				panic("injected panic")
			}
		}))
		h.g = <-started
		for range 3 {
			h.put("tasks", "k", "v")
			h.system.Root.Send(pid, "panic")
			h.g = <-started // of the actor that was started again
			h.wantValue("tasks", "k", "v")
		}
		if err := h.system.Root.StopFuture(pid).Wait(); err != nil {
			t.Error(err)
		}
	})
}
