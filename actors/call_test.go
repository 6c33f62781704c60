package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// registered is how many processes the actor system has.
func (h *host) registered() (n int) {
	for _, part := range h.system.ProcessRegistry.LocalPIDs.LocalPIDs {
		n += part.Count()
	}
	return n
}

// TestCallsNeedNoMailbox: a handle's calls are carried out without an actor, unless the host has middleware to see them.
func TestCallsNeedNoMailbox(t *testing.T) {
	for _, way := range []struct {
		name   string
		config actors.Config
		more   int
	}{
		{"called", actors.Config{}, 0},
		{"sent", intercepted(actors.Config{}), 1}, // one process, used again, that waits for answers
	} {
		t.Run(way.name, func(t *testing.T) {
			bubble(t, way.config, func(h *host) {
				before := h.registered()
				table := h.g.Table("tasks")
				for i := range 10 {
					if _, err := table.Put(h.Context(), fmt.Append(nil, i), []byte("v")); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := table.Scan(h.Context(), &messages.Scan{}); err != nil {
					t.Fatal(err)
				}
				if more := h.registered() - before; more != way.more {
					t.Errorf("%d processes more are registered, want %d", more, way.more)
				}
			})
		})
	}
}

// TestCallThatPanics is answered, as a message is on which the owner panics, and concerns nobody else.
func TestCallThatPanics(t *testing.T) {
	bothWays(t, actors.Config{}, func(h *host) {
		table := h.g.Table("tasks")
		bad := &messages.Write{Ops: []*messages.Op{{Op: (*messages.Op_Put)(nil)}}}
		if _, err := table.Write(h.Context(), bad); !errors.Is(err, messages.ErrInternal) {
			t.Errorf("write = %v", err)
		}
		h.put("tasks", "key", "value")
		h.wantValue("tasks", "key", "value")
	})
}

// writers puts rows by several goroutines until a call fails, and stop, run meanwhile, has ended. The errors and the keys
// whose puts were acknowledged are returned.
func (h *host) writers(stop func()) (acknowledged []string, failures []error) {
	table := h.g.Table("tasks")
	var mu sync.Mutex
	var group sync.WaitGroup
	begun := make(chan struct{}, 1000)
	for w := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprint(w, ".", i)
				_, err := table.Put(h.Context(), []byte(key), []byte("v"))
				mu.Lock()
				if err != nil {
					failures = append(failures, err)
				} else {
					acknowledged = append(acknowledged, key)
				}
				mu.Unlock()
				if err != nil {
					return
				}
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 20 {
		<-begun
	}
	stop()
	group.Wait()
	return acknowledged, failures
}

// TestCallsBesideStop: a call that Stop overtakes is answered, and what was acknowledged is there after the next start.
func TestCallsBesideStop(t *testing.T) {
	bothWays(t, actors.Config{}, func(h *host) {
		acknowledged, failures := h.writers(h.stop)
		for _, err := range failures {
			if !errors.Is(err, messages.ErrUnavailable) {
				t.Errorf("put beside stop = %v", err)
			}
		}
		if _, err := h.g.Table("tasks").Put(h.Context(), []byte("key"), nil); !errors.Is(err, messages.ErrUnavailable) ||
			!strings.Contains(err.Error(), "stopped") {
			t.Errorf("put after stop = %v", err)
		}
		h.start()
		for _, key := range acknowledged {
			h.wantValue("tasks", key, "v")
		}
	})
}

// TestCallsBesideDrop: what a drop's last backup does not hold was not acknowledged.
func TestCallsBesideDrop(t *testing.T) {
	bothWays(t, actors.Config{}, func(h *host) {
		acknowledged, failures := h.writers(func() {
			if err := h.g.DropTable(h.Context(), "tasks"); err != nil {
				t.Error(err)
			}
		})
		for _, err := range failures {
			if !errors.Is(err, messages.ErrUnavailable) && !errors.Is(err, messages.ErrNotFound) {
				t.Errorf("put beside drop = %v", err)
			}
		}
		last := h.open("", false)
		defer func() { _ = last.Close() }()
		for _, key := range acknowledged {
			if _, err := last.Get([]byte(key)); err != nil {
				t.Errorf("%s of the last backup: %v", key, err)
			}
		}
	})
}
