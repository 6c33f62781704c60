package actors_test

import (
	"fmt"
	"log/slog"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestPanicsInLifecycle: middleware that panics on a lifecycle message of an owner or the coordinator hurts nobody. Left
// alone, the framework would bring a stopping actor back to life, or have its parent wait for ever.
func TestPanicsInLifecycle(t *testing.T) {
	for _, lifecycle := range []any{&actor.Started{}, &actor.Stopping{}, &actor.Stopped{}, &actor.Restarting{}} {
		for _, who := range []string{"tasks", "backup"} {
			for _, when := range []string{"before", "after"} {
				t.Run(fmt.Sprintf("%T/%s/%s", lifecycle, who, when), func(t *testing.T) {
					stoppedBubble(t, intercepted(actors.Config{Tables: []string{"tasks", "other"}}), func(h *host) {
						panicked := 0
						strike := func(name string, m any) {
							if name == who && fmt.Sprintf("%T", m) == fmt.Sprintf("%T", lifecycle) {
								panicked++
								panic("in a lifecycle message")
							}
						}
						if when == "before" {
							h.middle.set(strike, nil)
						} else {
							h.middle.set(nil, strike)
						}
						h.start()
						h.put("tasks", "key", "value")
						h.restart(who)
						h.put("tasks", "key", "again")
						h.put("other", "key", "value")
						h.wantRow(h.backup()["tasks"], backedUp)
						h.wantState("tasks", open)
						begin := time.Now()
						h.stop()
						if took := time.Since(begin); took > time.Second {
							t.Errorf("stop took %v", took)
						}
						if panicked == 0 {
							t.Error("nothing panicked")
						}
						for _, pid := range []*actor.PID{h.pid("tasks"), h.pid("other"), h.g.Coordinator(), h.g.Supervisor()} {
							if _, ok := h.system.ProcessRegistry.Get(pid); ok {
								t.Errorf("%s is still there", pid.GetId())
							}
						}
						h.start()
						h.wantValue("tasks", "key", "again")
					})
				})
			}
		}
	}
}

// restart makes an owner, or the coordinator, panic on a message of its own.
func (h *host) restart(who string) {
	pid, message := h.g.Coordinator(), any((*messages.ListBackups)(nil))
	if who != "backup" {
		pid, message = h.pid(who), &messages.Write{Ops: []*messages.Op{{Op: (*messages.Op_Put)(nil)}}}
	}
	before, after := h.middle.get()
	h.middle.set(func(name string, m any) {
		if m == message {
			panic("to restart")
		}
		if before != nil {
			before(name, m)
		}
	}, after)
	s := h.send(pid, message)
	h.settle()
	s.failure("what the actor died on", messages.Code_CODE_INTERNAL)
	h.middle.set(before, after)
}

// TestCoordinatorPanics: the request it died on is answered INTERNAL, the next one works, and a run under way goes on
// and is answered.
func TestCoordinatorPanics(t *testing.T) {
	bubble(t, intercepted(actors.Config{Tables: []string{"a", "b"}, CopyTimeout: time.Hour}), func(h *host) {
		release := h.fs.hang(h.T, under(backups+"/a", "create"))
		run := h.run("")
		queued := h.run("queued")
		for _, message := range []any{&messages.BackupAll{Label: "poison"}, &messages.HealthMetrics{}, &messages.ListBackups{}} {
			h.middle.set(once(func(m any) bool { return m == message }), nil)
			died := h.send(h.g.Coordinator(), message)
			behind := h.send(h.g.Coordinator(), &messages.ListBackups{})
			h.settle()
			died.failure(fmt.Sprintf("%T", message), messages.Code_CODE_INTERNAL)
			if _, ok := behind.one("the request behind").(*messages.BackupList); !ok {
				t.Errorf("the request behind was answered %v", behind.answers())
			}
		}
		// Dead after it had handed the request over: the answer is the normal one.
		h.middle.set(nil, once(func(m any) bool { b, ok := m.(*messages.BackupAll); return ok && b.GetLabel() == "after" }))
		after := h.run("after")
		run.none("run")
		release()
		h.settle()
		h.wantRow(rows(run.report("run"))["a"], backedUp)
		queued.report("queued run")
		after.report("run whose coordinator died after it asked for it")
		for _, name := range []string{"a", "b"} {
			if n := h.health(name).GetRestarts(); n != 0 {
				t.Errorf("table %s has %d restarts", name, n)
			}
		}
	})
}

// TestCoordinatorPanicsPastBudget: it is restarted as often as it takes.
func TestCoordinatorPanicsPastBudget(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		h.middle.set(func(name string, m any) {
			if b, ok := m.(*messages.BackupAll); ok && b.GetLabel() == "poison" {
				panic("poison")
			}
		}, nil)
		for range 50 {
			h.run("poison").failure("poison", messages.Code_CODE_INTERNAL)
		}
		h.wantRow(h.backup()["tasks"], backedUp)
	})
}

// TestRunThatPanics ends as failed: who asked is told, the event comes, nothing lies about, and the next run works.
func TestRunThatPanics(t *testing.T) {
	var strike bool
	logger := slog.New(&hookHandler{func(r slog.Record) {
		if strike && r.Message == "backup complete" {
			panic("a log handler that panics")
		}
	}})
	bubble(t, actors.Config{Tables: []string{"a", "b"}, Logger: logger}, func(h *host) {
		seen := h.events()
		h.put("a", "key", "value")
		panics := func(match func(fileOp) bool) (remove func()) {
			return h.fs.on(match, func(fileOp) error { panic("a file system that panics") })
		}
		// In the copy of one table: a failed row.
		remove := panics(under(backups+"/a", "create"))
		got := h.backup()
		h.wantRow(got["a"], failed, "panicked")
		h.wantRow(got["b"], backedUp)
		remove()
		// While the run removes its cuts: nobody's loss.
		h.put("b", "key", "value")
		remove = panics(func(o fileOp) bool { return o.kind == "removeall" && path.Dir(o.path) == dir+"/staging" })
		h.wantRow(h.backup("b")["b"], backedUp)
		remove()
		// In retention: a fault of the report.
		h.put("b", "key", "again")
		remove = panics(under(dir+"/tables", "list"))
		report, err := h.g.BackupAll(h.Context(), "b")
		if err != nil || len(report.GetFaults()) != 2 || !strings.Contains(report.GetFaults()[0], "panicked") {
			t.Errorf("faults of a run whose retention panicked = %q, %v", report.GetFaults(), err)
		}
		remove()
		// In the run itself.
		strike = true
		h.run("").failure("run", messages.Code_CODE_INTERNAL)
		strike = false
		complete := eventsOf[*messages.BackupComplete](seen)
		if len(complete) != 4 || len(complete[3].GetFailed()) != 2 || complete[3].GetFinished() == nil {
			t.Fatalf("BackupComplete = %v, want four, the last with two failed", complete)
		}
		h.put("a", "key", "again")
		h.wantRow(h.backup()["a"], backedUp)
		h.stop()
		h.start()
		h.wantNoStaging()
	})
}
