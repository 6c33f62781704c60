package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestHungDiskIsAskedOnce: while a call hangs, the next ones are answered at once, and no goroutine is left for each.
func TestHungDiskIsAskedOnce(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.backup()
		var calls atomic.Int64
		gate := make(chan struct{})
		remove := h.fs.on(under(backups+"/tasks", "list"), func(fileOp) error { calls.Add(1); <-gate; return nil })
		for range 10 {
			report, err := h.g.Health(h.Context())
			if err != nil || len(report.GetFaults()) != 1 || report.GetFaults()[0].GetCode() != messages.Code_CODE_DEADLINE_EXCEEDED {
				t.Fatalf("health = %v, %v", report.GetFaults(), err)
			}
			if _, err := h.g.ListBackups(h.Context()); !errors.Is(err, messages.ErrDeadline) {
				t.Fatalf("list backups = %v", err)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("the disk that hangs was asked %d times", n)
		}
		remove()
		close(gate)
		h.settle()
		if n := h.health("tasks").GetBackups(); n != 1 {
			t.Errorf("health names %d backups once the disk answers, want 1", n)
		}
	})
}

// TestHungOpensOfOthers: a table that waits for its turn behind opens that hang stops at once.
func TestHungOpensOfOthers(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}}, func(h *host) {
		h.start()
		h.stop()
		release := h.fs.hang(h.T, func(o fileOp) bool {
			return o.kind == "open" && strings.HasPrefix(o.path, dir+"/tables/")
		})
		// Before the first give their turns back.
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		_, err := actors.Start(ctx, h.system, h.config)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("start = %v", err)
		}
		if n := strings.Count(err.Error(), "is not closed yet"); n != 8 {
			t.Errorf("start names %d tables that hang, want 8: %v", n, err)
		}
		release()
		h.settle()
		h.start()
	})
}

// TestHungRetention: a run ends, whatever hangs in the table's own directory.
func TestHungRetention(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		release := h.fs.hang(h.T, under(dir+"/tables/tasks", "list"))
		run := h.run("")
		pass(2 * time.Minute)
		h.settle()
		faults := run.report("run").GetFaults()
		if len(faults) != 2 || !strings.Contains(faults[0], "no answer in 30s") || !strings.Contains(faults[1], "deadline exceeded") {
			t.Errorf("faults = %q", faults)
		}
		release()
		h.settle()
	})
}

// TestRowsHandedOut: what a list or a cut hands out is the caller's, not the table's own record.
func TestRowsHandedOut(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.info("tasks").GetPosition().Seq = 1000
		for _, have := range []*messages.Position{nil, h.info("tasks").GetPosition()} {
			s := h.send(h.pid("tasks"), &messages.Cut{RunId: ulid.Make().String(), Have: have})
			h.settle()
			s.one("cut").(*messages.CutDone).GetRecord().GetPosition().Seq = 2000
		}
		if seq := h.put("tasks", "k", "w"); seq != 2 {
			t.Errorf("seq = %d, want 2", seq)
		}
	})
}

// TestConditionsCount: what a condition holds in memory counts toward the bound like a value.
func TestConditionsCount(t *testing.T) {
	bubble(t, actors.Config{MaxPendingBytes: 1000}, func(h *host) {
		release, syncs := h.blockCommitter("tasks")
		var all []*sender
		for range 20 {
			all = append(all, h.send(h.pid("tasks"), &messages.Write{Ops: []*messages.Op{putOp("k", "v")},
				Conditions: []*messages.Condition{messages.IfEquals([]byte("k"), make([]byte, 200))}}))
		}
		h.settle()
		refused := 0
		for _, s := range all {
			if len(s.answers()) > 0 {
				s.failure("write", messages.Code_CODE_RESOURCE_EXHAUSTED)
				refused++
			}
		}
		if refused != 16 { // four of 203 B wait
			t.Errorf("%d of 20 writes were refused, want 16", refused)
		}
		release()
		syncs()
	})
}

// TestFailedGroupShowsNothing: from the fault until the store is closed, no read shows what was applied and never
// acknowledged, and every read says that the table cannot serve now.
func TestFailedGroupShowsNothing(t *testing.T) {
	var gate chan struct{} // of the bubble
	held := slog.New(&hookHandler{func(r slog.Record) {
		if r.Message == "table state changed" {
			r.Attrs(func(a slog.Attr) bool {
				if a.Key == "to" && a.Value.String() == "reopening" {
					<-gate // the keeper, before it closes the store
				}
				return true
			})
		}
	}})
	stoppedBubble(t, actors.Config{Logger: held}, func(h *host) {
		gate = make(chan struct{})
		h.start()
		h.put("tasks", "k", "kept")
		fail := h.fs.fail(walSync("tasks"))
		s := h.send(h.pid("tasks"), put("k", "lost"))
		h.settle()
		fail()
		s.failure("put", messages.Code_CODE_UNAVAILABLE)
		h.wantState("tasks", reopening)
		all := []*sender{h.send(h.pid("tasks"), get("k")), h.send(h.pid("tasks"), &messages.Scan{}), h.send(h.pid("tasks"), put("k", "v"))}
		h.settle()
		for _, s := range all {
			s.failure("request of a frozen store", messages.Code_CODE_UNAVAILABLE)
		}
		table := h.g.Table("tasks")
		_, got := table.Get(h.Context(), []byte("k"))
		walked := table.Walk(h.Context(), nil, func(key, value []byte) error {
			t.Errorf("walk shows %s = %s", key, value)
			return nil
		})
		for what, err := range map[string]error{"get": got, "walk": walked} {
			if !errors.Is(err, messages.ErrUnavailable) {
				t.Errorf("%s = %v, want ErrUnavailable", what, err)
			}
		}
		close(gate)
		pass(time.Second)
		h.settle()
		h.wantState("tasks", open)
	})
}

// TestReadsOfFailingDisk say that the table cannot serve, whichever way they are asked.
func TestReadsOfFailingDisk(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for i := range 20 {
			h.put("tasks", fmt.Sprintf("%02d", i), strings.Repeat("v", 8<<10))
		}
		h.stop()
		h.start() // anew, its rows are in blocks that nobody has read
		defer h.fs.fail(func(o fileOp) bool { return o.kind == "read" && strings.HasSuffix(o.path, ".sst") })()
		table := h.g.Table("tasks")
		_, got := table.Get(h.Context(), []byte("10"))
		_, scanned := table.Scan(h.Context(), &messages.Scan{})
		walked := table.Walk(h.Context(), nil, func(key, value []byte) error { return nil })
		for what, err := range map[string]error{"get": got, "scan": scanned, "walk": walked} {
			if !errors.Is(err, messages.ErrUnavailable) || !strings.Contains(err.Error(), errInjected.Error()) {
				t.Errorf("%s = %v, want ErrUnavailable with its cause", what, err)
			}
		}
	})
}

// TestOpenTableBesideTheFirstOpen: a request that comes before the keeper's own first try opens the store once.
func TestOpenTableBesideTheFirstOpen(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("t%04d", i))
	}
	for range 5 {
		stoppedBubble(t, actors.Config{Tables: names}, func(h *host) {
			h.config.Spawn = func(p *actor.Props, name string) (*actor.PID, error) {
				pid, err := h.system.Root.SpawnNamed(p, name)
				for _, n := range names {
					h.system.Root.Send(pid, &messages.OpenTable{Table: n})
				}
				return pid, err
			}
			h.start()
			pass(time.Second)
			h.settle()
			list, err := h.g.ListTables(h.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range list {
				if info.GetState() != open {
					t.Fatalf("table %s is %v: %s", info.GetTable(), info.GetState(), info.GetReason())
				}
			}
		})
	}
}

// TestReopenedTableHasNewBudget: a table that somebody opened again after its quarantine may fail as often as any other.
func TestReopenedTableHasNewBudget(t *testing.T) {
	for what, again := range map[string]func(h *host) error{
		"close and open": func(h *host) error {
			return errors.Join(h.g.CloseTable(h.Context(), "tasks"), h.g.OpenTable(h.Context(), "tasks"))
		},
		"retry": func(h *host) error { return h.g.RetryTable(h.Context(), "tasks") },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				fault := func() {
					fail := h.fs.fail(walSync("tasks"))
					h.send(h.pid("tasks"), put("key", "value"))
					h.settle()
					fail()
					pass(37 * time.Second) // more than the longest pause
					h.settle()
				}
				for range 11 {
					fault()
				}
				h.wantState("tasks", quarantined)
				if err := again(h); err != nil {
					t.Fatal(err)
				}
				for range 5 {
					fault()
				}
				h.wantState("tasks", open)
			})
		})
	}
}

// hookHandler calls a function with every record that is logged.
type hookHandler struct{ call func(slog.Record) }

func (h *hookHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *hookHandler) Handle(_ context.Context, r slog.Record) error {
	h.call(r)
	return nil
}
func (h *hookHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *hookHandler) WithGroup(string) slog.Handler      { return h }
