package actors_test

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gabiondb/gabion/actors"
)

// TestNoReadShowsUndurableValue reads a key on many goroutines while one writer raises it. The file system publishes
// the newest value that may be durable right before it lets the WAL's fsync through; a read that returned more
// showed what a crash could still take back.
//
// It goes red when the handle's Get looks for unacknowledged writes before it reads rather than after.
func TestNoReadShowsUndurableValue(t *testing.T) {
	const (
		readers = 64
		budget  = 2_000_000 / slower
	)
	// More threads than cores: the system interrupts a reader anywhere, between its look and its read too.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4 * runtime.NumCPU()))
	h := newHost(t, actors.Config{})
	table, key := h.g.Table("tasks"), []byte("key")
	var sent, durable, reads atomic.Uint64
	h.put("tasks", "key", string(number(0)))
	h.fs.on(walSync("tasks"), func(fileOp) error {
		// What the writer sent is applied by now: only one write is under way. The pause makes the time
		// between applied and durable long.
		pause(reads.Load, 200)
		durable.Store(sent.Load())
		return nil
	})

	var wg sync.WaitGroup
	ended := make(chan struct{})
	for range readers {
		wg.Go(func() {
			handle := h.g.Table("tasks")
			for n := reads.Add(1); n < budget; n = reads.Add(1) {
				value, err := handle.Get(t.Context(), key)
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				if got, most := binary.BigEndian.Uint64(value), durable.Load(); got > most {
					t.Errorf("read %d when at most %d was durable", got, most)
					return
				}
				if n%16 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	go func() {
		defer close(ended)
		wg.Wait()
	}()
	for n := uint64(1); ; n++ {
		select {
		case <-ended:
			t.Logf("%d writes beside %d reads", sent.Load(), reads.Load())
			return
		default:
		}
		sent.Store(n)
		if _, err := table.Put(t.Context(), key, number(n)); err != nil {
			t.Fatalf("put: %v", err)
		}
		// Those that joined the write read on their own goroutines again.
		pause(reads.Load, 200)
	}
}

// pause waits until others have done some steps, or none for a while.
func pause(steps func() uint64, some uint64) {
	end := steps() + some
	for range 50 {
		if steps() >= end {
			return
		}
		runtime.Gosched()
	}
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
