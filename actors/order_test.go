package actors_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestOrderBetweenMessagesAndHandle: what was answered, a message's Put or a handle's, the other way of reading sees; and a
// message's Get sees the Put sent before it. With middleware the handle's calls are messages too.
func TestOrderBetweenMessagesAndHandle(t *testing.T) {
	for name, config := range map[string]actors.Config{"calls": {}, "messages": intercepted(actors.Config{})} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, config)
			pid, handle := h.pid("tasks"), h.g.Table("tasks")
			ask := func(m any) any {
				answer, err := h.system.Root.RequestFuture(pid, m, time.Minute).Result()
				if err != nil {
					t.Errorf("%T: %v", m, err)
				}
				return answer
			}
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() {
					key := fmt.Sprint("key", worker)
					for i := range 200 {
						value := fmt.Sprint("sent ", i)
						h.system.Root.Send(pid, put(key, value))
						if v, ok := ask(get(key)).(*messages.Value); !ok || string(v.GetValue()) != value {
							t.Errorf("a Get behind a Put of %q: %v", value, v)
						}
						value = fmt.Sprint("answered ", i)
						if _, ok := ask(put(key, value)).(*messages.Committed); !ok {
							t.Errorf("put of %q is not committed", value)
						}
						h.wantValue("tasks", key, value)
						value = fmt.Sprint("returned ", i)
						if _, err := handle.Put(h.Context(), []byte(key), []byte(value)); err != nil {
							t.Errorf("put of %q: %v", value, err)
						}
						if v, ok := ask(get(key)).(*messages.Value); !ok || string(v.GetValue()) != value {
							t.Errorf("a Get after a handle's Put of %q: %v", value, v)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
