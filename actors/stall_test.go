package actors_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const stalled = messages.TableState_TABLE_STATE_STALLED

// wantStalled checks the answer of a stalled table.
func (h *host) wantStalled(what string, reply any, unknown bool) {
	h.Helper()
	f, ok := reply.(*messages.Failure)
	if !ok || f.GetCode() != messages.Code_CODE_UNAVAILABLE || f.GetOutcomeUnknown() != unknown || f.GetRetryAfter() == nil || f.GetHint() == "" {
		h.Errorf("%s = %v, want UNAVAILABLE, outcome unknown: %v, with a hint", what, reply, unknown)
	}
}

// TestStall: a disk that hangs leaves the owner answering and other reads going on; writes fail fast, and say what became
// of them. When the disk answers, the table goes on, without a restart.
func TestStall(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, StallAfter: 5 * time.Second}, func(h *host) {
		h.put("tasks", "old", "v")
		seen := h.events()
		release := h.fs.hang(h.T, walSync("tasks"))
		written := h.send(h.pid("tasks"), put("k", "v"))
		h.settle()
		pending := h.send(h.pid("tasks"), put("k2", "v"))
		beside := h.send(h.pid("tasks"), &messages.Get{Key: []byte("k")})
		scan := h.send(h.pid("tasks"), &messages.Scan{})
		pass(4 * time.Second)
		h.wantState("tasks", open)
		pass(time.Second)
		h.settle()
		h.wantState("tasks", stalled)
		h.wantStalled("the write on its way", written.one("put"), true)
		h.wantStalled("the write behind it", pending.one("put"), true) // it was applied too: the committer goes on
		h.wantStalled("a read of a key being written", beside.one("get"), false)
		h.wantStalled("a scan", scan.one("scan"), false)

		begin := time.Now()
		late := h.send(h.pid("tasks"), put("k3", "v"))
		again := h.send(h.pid("tasks"), &messages.Get{Key: []byte("k")})
		h.settle()
		h.wantStalled("a later write", late.one("put"), false)
		h.wantStalled("a later read of a key being written", again.one("get"), false)
		h.wantValue("tasks", "old", "v")
		h.put("other", "k", "v")
		if result := h.backup()["tasks"]; result.GetOutcome() != messages.Outcome_OUTCOME_FAILED {
			t.Errorf("backup of a stalled table: %v", result)
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("a stalled table took %v to answer", took)
		}
		if row := h.health("tasks"); row.GetState() != stalled || row.GetReason() == "" || row.GetHint() == "" {
			t.Errorf("health = %v", row)
		}

		release()
		h.settle()
		h.wantState("tasks", open)
		h.wantValue("tasks", "k", "v")
		h.wantValue("tasks", "k2", "v")
		h.wantValue("tasks", "k3", "")
		if seq := h.put("tasks", "k3", "v"); seq != 4 {
			t.Errorf("seq = %d, want 4", seq)
		}
		if n := h.health("tasks").GetRestarts(); n != 0 {
			t.Errorf("restarts = %d", n)
		}
		if result := h.backup()["tasks"]; result.GetOutcome() != backedUp {
			t.Errorf("backup after the stall: %v", result)
		}
		var changes []string
		for _, e := range eventsOf[*messages.TableStateChanged](seen) {
			changes = append(changes, e.GetTo().String())
			if e.GetTo() == stalled && (e.GetReason() == "" || e.GetHint() == "") {
				t.Errorf("event %v", e)
			}
		}
		if got := strings.Join(changes, " "); got != "TABLE_STATE_STALLED TABLE_STATE_OPEN" {
			t.Errorf("changes: %s", got)
		}
	})
}

// TestStallAgain: each stall is noticed, and a slow disk is none.
func TestStallAgain(t *testing.T) {
	bubble(t, actors.Config{StallAfter: 5 * time.Second}, func(h *host) {
		for range 3 {
			release := h.fs.hang(h.T, walSync("tasks"))
			s := h.send(h.pid("tasks"), put("k", "v"))
			pass(5 * time.Second)
			h.settle()
			h.wantStalled("put", s.one("put"), true)
			h.wantState("tasks", stalled)
			release()
			h.settle()
			h.wantState("tasks", open)
		}
		// Many slow fsyncs, each in time, and always one under way: there is progress.
		seen := h.events()
		remove := h.fs.on(walSync("tasks"), func(fileOp) error { pass(4 * time.Second); return nil })
		for range 10 {
			h.send(h.pid("tasks"), put("k", "v"))
			pass(2 * time.Second)
		}
		remove()
		pass(4 * time.Second)
		h.settle()
		if n := len(eventsOf[*messages.TableStateChanged](seen)); n > 0 {
			t.Errorf("a slow disk changed the state %d times", n)
		}
	})
}

// TestStallBesideWrites: writes that the committer takes on do not hide that their fsync hangs, and a second hang right
// behind the first is noticed.
func TestStallBesideWrites(t *testing.T) {
	bubble(t, actors.Config{StallAfter: 5 * time.Second}, func(h *host) {
		gates := make(chan chan struct{}, 2)
		first, second := make(chan struct{}), make(chan struct{})
		gates <- first
		gates <- second
		defer h.fs.on(walSync("tasks"), func(fileOp) error {
			gate, ok := <-gates
			if ok {
				<-gate
			}
			return nil
		})()
		for range 5 {
			h.send(h.pid("tasks"), put("k", "v"))
			h.settle()
			h.wantState("tasks", open)
			pass(time.Second)
		}
		h.settle()
		h.wantState("tasks", stalled)
		close(first)
		h.settle()
		h.wantState("tasks", open) // the first write is durable; the others wait for the second fsync
		pass(5 * time.Second)
		h.settle()
		h.wantState("tasks", stalled)
		close(second)
		close(gates)
		h.settle()
		h.wantState("tasks", open)
	})
}

// TestStalledRead: reads that hang are answered in time; writes and other reads go on.
func TestStalledRead(t *testing.T) {
	h := newHost(t, actors.Config{StallAfter: 200 * time.Millisecond, CacheBytes: 1, MemTableBytes: 64 << 10})
	h.put("tasks", "k", "v")
	h.backup() // flushes
	changes := make(chan messages.TableState, 8)
	h.g.Subscribe(func(event proto.Message) {
		if e, ok := event.(*messages.TableStateChanged); ok {
			changes <- e.GetTo()
		}
	})
	release := h.fs.hang(t, func(o fileOp) bool {
		return o.kind == "read" && strings.HasPrefix(o.path, dir+"/tables/tasks/") && strings.HasSuffix(o.path, ".sst")
	})
	future := h.system.Root.RequestFuture(h.pid("tasks"), &messages.Get{Key: []byte("k")}, 10*time.Second)
	reply, err := future.Result()
	if err != nil {
		t.Fatal(err)
	}
	h.wantStalled("a read that hangs", reply, false)
	wantChange := func(want messages.TableState) {
		t.Helper()
		select {
		case to := <-changes:
			if to != want {
				t.Errorf("state became %v", to)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("state does not become %v", want)
		}
	}
	wantChange(stalled)
	release()
	wantChange(open)
	h.wantValue("tasks", "k", "v")
}

// TestStallEndsInAFault: a disk that hangs and then fails is a fault like any other.
func TestStallEndsInAFault(t *testing.T) {
	bubble(t, actors.Config{StallAfter: time.Second}, func(h *host) {
		h.put("tasks", "k", "v")
		gate := make(chan struct{})
		remove := h.fs.on(walSync("tasks"), func(fileOp) error { <-gate; return errInjected })
		s := h.send(h.pid("tasks"), put("k", "w"))
		pass(time.Second)
		h.settle()
		h.wantStalled("put", s.one("put"), true)
		remove()
		close(gate)
		pass(time.Second)
		h.settle()
		h.wantState("tasks", open)
		if n := h.health("tasks").GetRestarts(); n != 1 {
			t.Errorf("restarts = %d", n)
		}
		h.put("tasks", "k", "x")
		h.wantValue("tasks", "k", "x")
	})
}

// TestStopOfAStalledTable is bounded by its context, and names the table.
func TestStopOfAStalledTable(t *testing.T) {
	bubble(t, actors.Config{StallAfter: time.Second}, func(h *host) {
		release := h.fs.hang(h.T, walSync("tasks"))
		s := h.send(h.pid("tasks"), put("k", "v"))
		pass(2 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := h.g.Stop(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"tasks"`) {
			t.Errorf("stop = %v", err)
		}
		h.wantStalled("put", s.one("put"), true)
		release()
		h.settle()
	})
}

// TestHungFlushes: cuts whose flush hangs take no more than a few of the readers.
func TestHungFlushes(t *testing.T) {
	h := newHost(t, actors.Config{Readers: 3, StallAfter: time.Second, CutTimeout: 50 * time.Millisecond})
	h.put("tasks", "k", "v")
	release := h.fs.hang(t, func(o fileOp) bool {
		return o.kind == "create" && strings.HasPrefix(o.path, dir+"/tables/tasks/") && strings.HasSuffix(o.path, ".sst")
	})
	for range 5 {
		if result := h.backup()["tasks"]; result.GetFailure() == nil {
			t.Fatalf("cut with a hung flush: %v", result)
		}
	}
	if result := h.backup()["tasks"]; !strings.Contains(result.GetFailure().GetMessage(), "the flushes of earlier cuts have not ended yet") {
		t.Errorf("cut behind hung flushes: %v", result)
	}
	h.put("tasks", "k2", "v")
	h.wantValue("tasks", "k2", "v")
	reply, err := h.system.Root.RequestFuture(h.pid("tasks"), &messages.Get{Key: []byte("k")}, 10*time.Second).Result()
	if value, ok := reply.(*messages.Value); !ok || !value.GetFound() {
		t.Errorf("read beside hung flushes: %v, %v", reply, err)
	}
	release()
}
