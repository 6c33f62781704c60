package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestReadsWaitForFsync hangs the WAL's fsync under a Put: whatever would show its value waits, everything else goes on.
func TestReadsWaitForFsync(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "key", "old")
		h.put("tasks", "untouched", "here")
		open := h.fs.hang(h.T, walSync("tasks"))
		write := h.send(h.pid("tasks"), put("key", "new"))
		h.settle()
		write.none("put")

		message := h.send(h.pid("tasks"), get("key"))
		scan := h.send(h.pid("tasks"), &messages.Scan{})
		handle := async(func() (string, error) {
			value, err := h.g.Table("tasks").Get(h.Context(), []byte("key"))
			return string(value), err
		})
		walk := async(func() (string, error) { return walked(h.Context(), h.g.Table("tasks")) })
		h.settle()
		message.none("get by message")
		scan.none("scan")
		handle.pending(h, "get by handle")
		walk.pending(h, "walk")

		// What the pending Put cannot change is read meanwhile.
		h.wantValue("tasks", "untouched", "here")
		aside := h.send(h.pid("tasks"), get("untouched"))
		h.put("other", "key", "elsewhere")
		h.settle()
		if v, ok := aside.one("get of an untouched key").(*messages.Value); !ok || string(v.GetValue()) != "here" {
			t.Errorf("get of an untouched key = %v", v)
		}

		open()
		h.settle()
		write.committed("put")
		if v, ok := message.one("get").(*messages.Value); !ok || string(v.GetValue()) != "new" || v.GetSeq() != 3 {
			t.Errorf("get by message = %v, want new at seq 3", v)
		}
		if p, ok := scan.one("scan").(*messages.Page); !ok || len(p.GetEntries()) != 2 || string(p.GetEntries()[0].GetValue()) != "new" {
			t.Errorf("scan = %v", p)
		}
		handle.want(h, "get by handle", "new")
		walk.want(h, "walk", "key=new untouched=here ")
	})
}

// TestScanLooksAgain: a write that is applied between a scan's request and its snapshot is not shown before its fsync.
func TestScanLooksAgain(t *testing.T) {
	bubble(t, actors.Config{Readers: 1}, func(h *host) {
		for i := range 20 {
			h.put("tasks", fmt.Sprintf("%02d", i), strings.Repeat("v", 8<<10))
		}
		h.stop()
		h.start() // anew, its rows are in blocks that nobody has read
		release := h.fs.hang(h.T, func(o fileOp) bool { return o.kind == "read" && strings.HasSuffix(o.path, ".sst") })
		h.send(h.pid("tasks"), get("10")) // keeps the one reader busy
		h.settle()
		scan := h.send(h.pid("tasks"), &messages.Scan{Prefix: []byte("new")})
		h.settle()
		syncs := h.fs.hang(h.T, walSync("tasks"))
		write := h.send(h.pid("tasks"), put("new", "value"))
		h.settle()
		release()
		h.settle()
		write.none("put")
		scan.none("scan")
		syncs()
		h.settle()
		if page, ok := scan.one("scan").(*messages.Page); !ok || len(page.GetEntries()) != 1 {
			t.Errorf("scan was answered %v", scan.answers())
		}
	})
}

// TestReadsJoinTheirPlace: a read sent between two writes, while nothing is durable yet, shows the first alone.
func TestReadsJoinTheirPlace(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		open := h.fs.hang(h.T, walSync("tasks"))
		pid := h.pid("tasks")
		h.send(pid, put("key", "1"))
		first, firstScan := h.send(pid, get("key")), h.send(pid, &messages.Scan{})
		h.send(pid, put("key", "2"))
		second := h.send(pid, get("key"))
		h.send(pid, &messages.DeleteRange{Start: []byte("a"), End: []byte("z")})
		third, thirdScan := h.send(pid, get("key")), h.send(pid, &messages.Scan{})
		h.settle()
		for _, s := range []*sender{first, firstScan, second, third, thirdScan} {
			s.none("read")
		}
		open()
		h.settle()
		if v := first.one("get").(*messages.Value); string(v.GetValue()) != "1" {
			t.Errorf("get after the first put = %v", v)
		}
		if v := second.one("get").(*messages.Value); string(v.GetValue()) != "2" {
			t.Errorf("get after the second put = %v", v)
		}
		if v := third.one("get").(*messages.Value); v.GetFound() {
			t.Errorf("get after the delete range = %v", v)
		}
		// A scan shows what its group does, never less than what was sent before it.
		if p := firstScan.one("scan").(*messages.Page); len(p.GetEntries()) != 1 {
			t.Errorf("scan after the put = %v", p)
		}
		if p := thirdScan.one("scan").(*messages.Page); len(p.GetEntries()) != 0 {
			t.Errorf("scan after the delete range = %v", p)
		}
	})
}

// TestRefusalWaitsForFsync: a Write refused because of a value that is not durable yet is answered after it is.
func TestRefusalWaitsForFsync(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		open := h.fs.hang(h.T, walSync("tasks"))
		h.send(h.pid("tasks"), put("lock", "mine"))
		h.settle()
		refused := h.send(h.pid("tasks"), takeLock("yours"))
		h.settle()
		refused.none("refused write")
		open()
		h.settle()
		f := refused.failure("refused write", messages.Code_CODE_FAILED_PRECONDITION)
		if !errors.Is(f, messages.ErrConditionFailed) || f.GetHint() == "" || f.GetOutcomeUnknown() {
			t.Errorf("refusal = %v", f)
		}
		h.wantValue("tasks", "lock", "mine")
	})
}

// TestRefusalOfWhatFails: a Write refused because of a value whose fsync then fails is not told that it was refused.
func TestRefusalOfWhatFails(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		gate := make(chan struct{})
		remove := h.fs.on(walSync("tasks"), func(fileOp) error { <-gate; return errInjected })
		h.send(h.pid("tasks"), put("lock", "mine"))
		h.settle()
		refused := h.send(h.pid("tasks"), takeLock("yours"))
		h.settle()
		remove()
		close(gate)
		h.settle()
		refused.failure("refused write", messages.Code_CODE_UNAVAILABLE)
	})
}

func takeLock(value string) *messages.Write {
	return &messages.Write{
		Ops:        []*messages.Op{putOp("lock", value)},
		Conditions: []*messages.Condition{messages.IfAbsent([]byte("lock"))},
	}
}

// walked returns the rows of a table in order.
func walked(ctx context.Context, table *actors.Table) (string, error) {
	text := ""
	err := table.Walk(ctx, nil, func(key, value []byte) error {
		text += string(key) + "=" + string(value) + " "
		return nil
	})
	return text, err
}

// call is a call on a goroutine of its own.
type call struct {
	done  chan struct{}
	value string
	err   error
}

func async(f func() (string, error)) *call {
	c := &call{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.value, c.err = f()
	}()
	return c
}

// pending wants that the call has not returned.
func (c *call) pending(h *host, what string) {
	h.Helper()
	select {
	case <-c.done:
		h.Errorf("%s returned already: %q, %v", what, c.value, c.err)
	default:
	}
}

// want wants that the call returned a value.
func (c *call) want(h *host, what, value string) {
	h.Helper()
	select {
	case <-c.done:
		if c.err != nil || c.value != value {
			h.Errorf("%s = %q, %v, want %q", what, c.value, c.err, value)
		}
	default:
		h.Errorf("%s has not returned", what)
	}
}

// wantError wants that the call returned an error that matches each of targets.
func (c *call) wantError(h *host, what string, targets ...error) {
	h.Helper()
	select {
	case <-c.done:
	default:
		h.Errorf("%s has not returned", what)
		return
	}
	for _, target := range targets {
		if !errors.Is(c.err, target) {
			h.Errorf("%s = %v, want an error that matches %v", what, c.err, target)
		}
	}
}
