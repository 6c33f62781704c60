package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestBackPressure: past the bound of what may wait, a write is refused at once, with how long to wait. What was
// accepted is committed, and another table never notices.
func TestBackPressure(t *testing.T) {
	for what, config := range map[string]actors.Config{
		"ops":   {MaxPendingOps: 10},
		"bytes": {MaxPendingBytes: 10 * 104},
	} {
		t.Run(what, func(t *testing.T) {
			config.Tables = []string{"tasks", "other"}
			bubble(t, config, func(h *host) {
				release, syncs := h.blockCommitter("tasks")
				var accepted []*sender
				value := strings.Repeat("v", 100)
				for i := range 10 {
					accepted = append(accepted, h.send(h.pid("tasks"), put(fmt.Sprintf("k%03d", i), value)))
				}
				h.settle()
				for _, s := range accepted {
					s.none("put within the bound")
				}
				for _, request := range []any{put("more", value), &messages.Write{Ops: []*messages.Op{putOp("more", value)}}} {
					s := h.send(h.pid("tasks"), request)
					h.settle()
					f := s.failure("write past the bound", messages.Code_CODE_RESOURCE_EXHAUSTED)
					if f.GetRetryAfter().AsDuration() <= 0 || f.GetHint() == "" || f.GetOutcomeUnknown() || !errors.Is(f, messages.ErrExhausted) {
						t.Errorf("refusal = %v", f)
					}
					wantText(t, f.GetMessage(), "10 operations and 1040 B", "nothing was written")
				}
				if n := h.health("tasks").GetPending(); n != 10 {
					t.Errorf("health says %d operations wait, want 10", n)
				}
				h.put("other", "key", "value")
				release()
				syncs()
				h.settle()
				for _, s := range accepted {
					s.committed("put within the bound")
				}
				if n := h.health("tasks").GetCount(); n != 11 {
					t.Errorf("%d rows, want 11", n)
				}
				h.put("tasks", "more", value)
			})
		})
	}
}

// TestFlood: a table that is sent more than it can commit refuses the rest, and commits what it accepted; a quiet table beside it
// is never refused, nor is a late request of the flooded one once the flood is over.
func TestFlood(t *testing.T) {
	h := newHost(t, actors.Config{Tables: []string{"flooded", "quiet"}, MaxPendingOps: 100})
	const flood = 50_000
	var answered sync.WaitGroup
	var committed, refused, other atomic.Int64
	flooder := h.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case int:
			c.Request(h.g.PID("flooded"), put(fmt.Sprintf("%06d", m), "value"))
			return
		case *messages.Committed:
			committed.Add(1)
		case *messages.Failure:
			if errors.Is(m, messages.ErrExhausted) && m.GetRetryAfter() != nil {
				refused.Add(1)
			} else {
				other.Add(1)
			}
		default:
			return
		}
		answered.Done()
	}))
	answered.Add(flood)
	for i := range flood {
		h.system.Root.Send(flooder, i)
	}
	for i := range 200 {
		key := fmt.Sprint(i)
		h.put("quiet", key, "value")
		h.wantValue("quiet", key, "value")
	}
	answered.Wait()
	t.Logf("%d of %d puts were committed, %d refused", committed.Load(), flood, refused.Load())
	if refused.Load() == 0 || other.Load() > 0 {
		t.Errorf("%d puts were refused, %d answered with something else", refused.Load(), other.Load())
	}
	h.put("flooded", "late", "value")
	for table, want := range map[string]uint64{"flooded": uint64(committed.Load()) + 1, "quiet": 200} {
		if n := h.health(table).GetCount(); n != want {
			t.Errorf("table %s has %d rows, %d puts were committed", table, n, want)
		}
	}
	_ = h.system.Root.StopFuture(flooder).Wait()
}

// TestPressureOfOneWrite counts its operations, not its requests.
func TestPressureOfOneWrite(t *testing.T) {
	bubble(t, actors.Config{MaxPendingOps: 10}, func(h *host) {
		write := func(n int) *messages.Write {
			w := &messages.Write{}
			for i := range n {
				w.Ops = append(w.Ops, putOp(fmt.Sprint(i), "x"))
			}
			return w
		}
		release, syncs := h.blockCommitter("tasks")
		alone := h.send(h.pid("tasks"), write(50)) // nothing else waits
		h.settle()
		alone.none("write")
		second := h.send(h.pid("tasks"), write(1))
		h.settle()
		second.failure("second write", messages.Code_CODE_RESOURCE_EXHAUSTED)
		release()
		syncs()
		h.settle()
		alone.committed("write")
	})
}

// TestReadPressure: reads that wait for a hung disk are bounded too.
func TestReadPressure(t *testing.T) {
	bubble(t, actors.Config{MaxPendingOps: 10, Readers: 2}, func(h *host) {
		for i := range 20 {
			h.put("tasks", fmt.Sprintf("%02d", i), strings.Repeat("v", 8<<10))
		}
		// Started anew, the table has its rows in blocks that nobody has read.
		h.stop()
		h.start()
		release := h.fs.hang(h.T, func(o fileOp) bool { return o.kind == "read" && strings.HasSuffix(o.path, ".sst") })
		var all []*sender
		for range 20 {
			all = append(all, h.send(h.pid("tasks"), get("10")))
			h.settle()
		}
		if len(all[0].answers()) > 0 {
			t.Fatalf("the first read did not hang: %v", all[0].answers())
		}
		refused := 0
		for _, s := range all {
			if len(s.answers()) > 0 {
				refused++
				if f := s.failure("read", messages.Code_CODE_RESOURCE_EXHAUSTED); f.GetHint() == "" || f.GetRetryAfter() == nil {
					t.Errorf("refusal = %v", f)
				}
			}
		}
		if refused != 8 { // two read, ten wait
			t.Errorf("%d reads were refused, want 8", refused)
		}
		// The owner is not held up.
		s := h.send(h.pid("tasks"), "nonsense")
		h.settle()
		s.failure("nonsense", messages.Code_CODE_UNIMPLEMENTED)
		release()
	})
}

// TestLimits of keys, values and writes: at the limit it works, past it the answer names the limit and nothing is written.
func TestLimits(t *testing.T) {
	// The largest Write takes its time under the race detector.
	h := newHost(t, actors.Config{StallAfter: 5 * time.Minute})
	ctx, table := t.Context(), h.g.Table("tasks")
	longest, largest := strings.Repeat("k", messages.MaxKey), make([]byte, messages.MaxValue)
	h.put("tasks", longest, "value")
	h.wantValue("tasks", longest, "value")
	if _, err := table.Put(ctx, []byte("large"), largest); err != nil {
		t.Errorf("put of the largest value = %v", err)
	}
	if value, err := table.Get(ctx, []byte("large")); err != nil || len(value) != messages.MaxValue {
		t.Errorf("get of the largest value = %d B, %v", len(value), err)
	}
	h.put("tasks", "empty", "")
	if value, err := table.Get(ctx, []byte("empty")); err != nil || len(value) != 0 {
		t.Errorf("get of an empty value = %q, %v", value, err)
	}
	// 64 MiB in one Write, when nothing else waits.
	whole := &messages.Write{}
	for i := range 4 {
		whole.Ops = append(whole.Ops, &messages.Op{Op: &messages.Op_Put{Put: &messages.Put{
			Key: fmt.Append(nil, i), Value: largest[:messages.MaxWrite/4-1]}}})
	}
	if _, err := table.Write(ctx, whole); err != nil {
		t.Errorf("write of 64 MiB = %v", err)
	}
	count := h.health("tasks").GetCount()

	whole.Ops = append(whole.Ops, putOp("x", ""))
	_, wrote := table.Write(ctx, whole)
	_, noKey := table.Put(ctx, nil, nil)
	_, longKey := table.Put(ctx, []byte(longest+"k"), nil)
	_, largeValue := table.Put(ctx, []byte("k"), append(largest, 0))
	_, emptyRange := table.DeleteRange(ctx, []byte("b"), []byte("a"))
	_, noOps := table.Write(ctx, &messages.Write{})
	_, getNone := table.Get(ctx, nil)
	for what, c := range map[string]struct {
		err  error
		text string
	}{
		"write": {wrote, "maximum is 67108864 B"}, "no key": {noKey, "minimum is 1 B"}, "long key": {longKey, "maximum is 4096 B"},
		"large value": {largeValue, "maximum is 16777216 B"}, "empty range": {emptyRange, "not before"},
		"no ops": {noOps, "no ops"}, "get of no key": {getNone, "minimum is 1 B"},
	} {
		if !errors.Is(c.err, messages.ErrInvalid) || len(messages.Hints(c.err)) == 0 {
			t.Errorf("%s = %v, want ErrInvalid with a hint", what, c.err)
			continue
		}
		wantText(t, c.err.Error(), c.text, `"tasks"`)
	}
	if n := h.health("tasks").GetCount(); n != count {
		t.Errorf("refused requests changed the count from %d to %d", count, n)
	}
}
