package actors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestCallerWhoLeaves: a Put whose context ends returns the context's error with its outcome unknown. A Get on the same
// handle still sees it in order, and its late answer meets no other request.
func TestCallerWhoLeaves(t *testing.T) {
	bothWays(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		for i := range 50 {
			h.put("other", fmt.Sprint(i), fmt.Sprint("value ", i))
		}
		release := h.fs.hang(h.T, walSync("tasks"))
		table := h.g.Table("tasks")
		ctx, cancel := context.WithCancel(h.Context())
		var left []*call
		for i := range 10 {
			left = append(left, async(func() (string, error) {
				_, err := table.Put(ctx, []byte("key"), fmt.Append(nil, i))
				return "", err
			}))
			h.settle()
		}
		cancel()
		h.settle()
		for _, c := range left {
			c.wantError(h, "put", messages.ErrOutcomeUnknown, context.Canceled)
		}
		read := async(func() (string, error) {
			value, err := table.Get(h.Context(), []byte("key"))
			return string(value), err
		})
		h.settle()
		read.pending(h, "get")
		for i := range 50 { // beside the late answers
			h.wantValue("other", fmt.Sprint(i), fmt.Sprint("value ", i))
		}
		release()
		h.settle()
		read.want(h, "get", "9")
		for i := range 50 { // by the recycled repliers
			s, err := h.g.Table("other").Scan(h.Context(), &messages.Scan{Start: fmt.Append(nil, i), Limit: 1})
			if err != nil || string(s.GetEntries()[0].GetValue()) != fmt.Sprint("value ", i) {
				t.Errorf("scan %d = %v, %v", i, s, err)
			}
		}
	})
}

// TestHandleKeepsItsOrder: while a Put of a handle still waits for the owner, though its caller gave up, a Get on the
// same handle waits behind it, and the caller's bytes are its own again. Another handle reads meanwhile.
func TestHandleKeepsItsOrder(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		h.put("tasks", "key", "old")
		gate := make(chan struct{})
		h.middle.set(func(_ string, m any) {
			if _, ok := m.(*messages.Put); ok {
				<-gate
			}
		}, nil)
		table, key, value := h.g.Table("tasks"), []byte("key"), []byte("new")
		kept := async(func() (string, error) { _, err := table.Put(h.Context(), key, value); return "", err })
		h.settle()
		leaving, leave := context.WithCancel(h.Context())
		dropped := async(func() (string, error) { _, err := table.Put(leaving, []byte("key"), []byte("dropped")); return "", err })
		h.settle()
		leave()
		h.settle()
		dropped.wantError(h, "put", context.Canceled)
		copy(key, "XXX")
		copy(value, "XXX")
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		if _, err := table.Get(ctx, []byte("key")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("get on the same handle = %v, before the put was carried out", err)
		}
		read := async(func() (string, error) {
			got, err := table.Get(h.Context(), []byte("key"))
			return string(got), err
		})
		h.wantValue("tasks", "key", "old") // on a handle of its own
		h.settle()
		read.pending(h, "get on the same handle")
		close(gate)
		h.settle()
		kept.want(h, "put", "")
		read.want(h, "get on the same handle", "new")
		h.wantValue("tasks", "XXX", "")
	})
}

// TestCallerWhoLeavesEarly: a write that its caller gave up before it was begun is never carried out, and the caller is told
// so; one that was begun may be there.
func TestCallerWhoLeavesEarly(t *testing.T) {
	bothWays(t, actors.Config{}, func(h *host) {
		release, syncs := h.blockCommitter("tasks")
		table := h.g.Table("tasks")
		ctx, cancel := context.WithCancel(h.Context())
		var early []*call
		for what, write := range map[string]func() (uint64, error){
			"put":    func() (uint64, error) { return table.Put(ctx, []byte("put"), []byte("early")) },
			"delete": func() (uint64, error) { return table.Delete(ctx, []byte("first")) },
			"range":  func() (uint64, error) { return table.DeleteRange(ctx, []byte("a"), []byte("z")) },
			"write": func() (uint64, error) {
				return table.Write(ctx, &messages.Write{Ops: []*messages.Op{putOp("write", "early")}})
			},
		} {
			early = append(early, async(func() (string, error) { _, err := write(); return what, err }))
		}
		stays := async(func() (string, error) { _, err := table.Put(h.Context(), []byte("stays"), nil); return "", err })
		h.settle()
		cancel()
		h.settle()
		for _, c := range early {
			c.wantError(h, "write", context.Canceled)
			if errors.Is(c.err, messages.ErrOutcomeUnknown) {
				t.Errorf("%s = %v, though it was not begun", c.value, c.err)
			}
		}
		release()
		late, leave := context.WithCancel(h.Context())
		begun := async(func() (string, error) { _, err := table.Put(late, []byte("begun"), nil); return "", err })
		h.settle()
		leave()
		h.settle()
		begun.wantError(h, "put that was begun", context.Canceled, messages.ErrOutcomeUnknown)
		syncs()
		h.settle()
		stays.want(h, "put beside them", "")
		page, err := h.g.Table("tasks").Scan(h.Context(), &messages.Scan{})
		if err != nil || len(page.GetEntries()) != 3 {
			t.Errorf("rows = %v, %v, want begun, first, stays", page.GetEntries(), err)
		}
		if h.middle == nil {
			return
		}
		// The handle reads by itself again: all its writes were answered.
		h.middle.set(func(_ string, m any) { t.Errorf("%T went through the mailbox", m) }, nil)
		if _, err := table.Get(h.Context(), []byte("stays")); err != nil {
			t.Error(err)
		}
		h.middle.set(nil, nil)
	})
}

// TestContextErrors: what a context ended with can be told, its cause too.
func TestContextErrors(t *testing.T) {
	bothWays(t, actors.Config{}, func(h *host) {
		cause := errors.New("the caller's own reason")
		table := h.g.Table("tasks")
		calls := map[string]func(ctx context.Context) error{
			"put":    func(ctx context.Context) error { _, err := table.Put(ctx, []byte("k"), nil); return err },
			"delete": func(ctx context.Context) error { _, err := table.Delete(ctx, []byte("k")); return err },
			"range": func(ctx context.Context) error {
				_, err := table.DeleteRange(ctx, []byte("k"), []byte("l"))
				return err
			},
			"get":    func(ctx context.Context) error { _, err := table.Get(ctx, []byte("k")); return err },
			"scan":   func(ctx context.Context) error { _, err := table.Scan(ctx, &messages.Scan{}); return err },
			"walk":   func(ctx context.Context) error { return table.Walk(ctx, nil, nil) },
			"backup": func(ctx context.Context) error { _, err := h.g.BackupAll(ctx); return err },
		}
		for what, f := range calls {
			ended, cancel := context.WithCancelCause(h.Context())
			cancel(cause)
			// Sent by nobody: the outcome is known.
			if err := f(ended); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || errors.Is(err, messages.ErrOutcomeUnknown) {
				t.Errorf("%s with an ended context = %v", what, err)
			}
		}
		release := h.fs.hang(h.T, walSync("tasks"))
		h.send(h.pid("tasks"), put("k", "x"))
		h.settle()
		for what, f := range calls {
			if what == "backup" {
				continue
			}
			ctx, cancel := context.WithCancelCause(h.Context())
			c := async(func() (string, error) { return "", f(ctx) })
			h.settle()
			c.pending(h, what)
			cancel(cause)
			h.settle()
			c.wantError(h, what, context.Canceled, cause)
		}
		release()
	})
}

// TestDeadlineTravels: every request of a handle carries its context's deadline.
func TestDeadlineTravels(t *testing.T) {
	bubble(t, intercepted(actors.Config{}), func(h *host) {
		seen := map[string]time.Time{}
		h.middle.set(func(_ string, m any) {
			if m, ok := m.(interface{ GetDeadline() *timestamppb.Timestamp }); ok && m.GetDeadline() != nil {
				seen[fmt.Sprintf("%T", m)] = m.GetDeadline().AsTime()
			}
		}, nil)
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		table := h.g.Table("tasks")
		_, put := table.Put(ctx, []byte("k"), nil)
		_, deleted := table.Delete(ctx, []byte("k"))
		_, ranged := table.DeleteRange(ctx, []byte("k"), []byte("l"))
		_, wrote := table.Write(ctx, &messages.Write{Ops: []*messages.Op{putOp("k", "v")}})
		_, scanned := table.Scan(ctx, &messages.Scan{})
		release := h.fs.hang(h.T, walSync("tasks"))
		h.send(h.pid("tasks"), &messages.Put{Key: []byte("k")})
		h.settle()
		get := async(func() (string, error) { _, err := table.Get(ctx, []byte("k")); return "", err })
		h.settle()
		release()
		h.settle()
		get.want(h, "get", "")
		if err := errors.Join(put, deleted, ranged, wrote, scanned); err != nil {
			t.Fatal(err)
		}
		want, _ := ctx.Deadline()
		for _, m := range []any{&messages.Put{}, &messages.Delete{}, &messages.DeleteRange{}, &messages.Write{}, &messages.Scan{}, &messages.Get{}} {
			if at := seen[fmt.Sprintf("%T", m)]; !at.Equal(want) {
				t.Errorf("deadline of %T = %v, want %v", m, at, want)
			}
		}
	})
}

// TestCallerOwnsItsValue: what a Get returns may be changed, also when it is the value of another's pending Put.
func TestCallerOwnsItsValue(t *testing.T) {
	bothWays(t, actors.Config{}, func(h *host) {
		release, syncs := h.blockCommitter("tasks") // so that both are of one group
		message := put("key", "value")
		h.send(h.pid("tasks"), message)
		h.settle()
		reading := async(func() (string, error) {
			got, err := h.g.Table("tasks").Get(h.Context(), []byte("key"))
			if len(got) > 0 {
				got[0] = 'X'
			}
			return string(got), err
		})
		h.settle()
		release()
		syncs()
		h.settle()
		reading.want(h, "get", "Xalue")
		if !proto.Equal(message, put("key", "value")) {
			t.Errorf("the sender's message became %v", message)
		}
		h.wantValue("tasks", "key", "value")
	})
}

// TestScanAndWalk page through more than one page holds, both ways.
func TestScanAndWalk(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		const n = 40
		table := h.g.Table("tasks")
		write := &messages.Write{}
		for i := range n {
			write.Ops = append(write.Ops, putOp(fmt.Sprintf("%02d", i), string(make([]byte, 100<<10))))
		}
		if _, err := table.Write(h.Context(), write); err != nil {
			t.Fatal(err)
		}
		for _, reverse := range []bool{false, true} {
			var scanned, walked []string
			pages := 0
			for scan := (&messages.Scan{Reverse: reverse}); scan != nil; pages++ {
				page, err := table.Scan(h.Context(), scan)
				if err != nil {
					t.Fatal(err)
				}
				if len(page.GetEntries()) == 0 || proto.Size(page) > messages.MaxPage+4096 {
					t.Fatalf("a page of %d entries, %d B", len(page.GetEntries()), proto.Size(page))
				}
				for _, e := range page.GetEntries() {
					scanned = append(scanned, string(e.GetKey()))
				}
				switch next := page.GetNext(); {
				case next == nil:
					scan = nil
				case reverse:
					scan = &messages.Scan{Reverse: true, End: next}
				default:
					scan = &messages.Scan{Start: next}
				}
			}
			err := table.Walk(h.Context(), &messages.Scan{Reverse: reverse, Limit: 1}, func(key, _ []byte) error {
				walked = append(walked, string(key))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(scanned) != n || fmt.Sprint(scanned) != fmt.Sprint(walked) || pages < 4 || (scanned[0] == "00") == reverse {
				t.Errorf("reverse %v: %d pages, scanned %v, walked %v", reverse, pages, scanned, walked)
			}
		}
		// The first error ends a Walk, and a panic in each is the caller's own and holds no store open.
		enough := errors.New("enough")
		if err := table.Walk(h.Context(), nil, func(_, _ []byte) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("walk = %v", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = table.Walk(h.Context(), nil, func(_, _ []byte) error { panic("the caller's") })
		}()
		ctx, cancel := context.WithTimeout(h.Context(), 10*time.Second)
		defer cancel()
		closing := async(func() (string, error) { return "", h.g.CloseTable(ctx, "tasks") })
		pass(11 * time.Second)
		h.settle()
		closing.want(h, "close table after a walk that panicked", "")
	})
}
