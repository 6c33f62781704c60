package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// full makes a table's disk too full for another sstable, until free; attempts counts those that failed.
func (h *host) full(table string) (free func(), attempts func() int64) {
	var n atomic.Int64
	free = h.fs.on(func(o fileOp) bool {
		return o.kind == "create" && strings.HasSuffix(o.path, ".sst") && strings.HasPrefix(o.path, dir+"/tables/"+table+"/")
	}, func(fileOp) error {
		n.Add(1)
		return syscall.ENOSPC
	})
	return free, n.Load
}

// TestFullDisk: a disk that has no room for sstables is asked now and then, not thousands of times; past the limit
// the store is frozen and opened again, and once there is room all that was acknowledged is there.
func TestFullDisk(t *testing.T) {
	h := newHost(t, actors.Config{Tables: []string{"tasks", "other"}, MemTableBytes: 32 << 10, FreezeAfter: 300 * time.Millisecond})
	free, attempts := h.full("tasks")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var acked []string
	for i := range 2000 {
		key := fmt.Sprintf("k%04d", i)
		if _, err := h.g.Table("tasks").Put(ctx, []byte(key), make([]byte, 1000)); err != nil {
			if !errors.Is(err, messages.ErrUnavailable) {
				t.Errorf("put %d = %v, want ErrUnavailable", i, err)
			}
			break
		}
		acked = append(acked, key)
	}
	if n := attempts(); n < 3 || n > 12 {
		t.Errorf("%d attempts, want some", n)
	}
	h.put("other", "key", "value")
	free()
	for ctx.Err() == nil && h.info("tasks").GetState() != open {
		if _, err := h.g.Health(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range acked {
		h.wantValue("tasks", key, string(make([]byte, 1000)))
	}
}

// TestFullDiskAtOpen: a table whose WAL cannot be replayed for want of room says so in time, and holds up neither Start nor Stop.
func TestFullDiskAtOpen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, FS: mem}, func(h *host) {
		h.put("tasks", "key", "value")
		crashed := prepare(h.T, actors.Config{Tables: []string{"tasks", "other"}, FS: mem.CrashClone(vfs.CrashCloneCfg{})})
		free, attempts := crashed.full("tasks")
		crashed.start()
		crashed.wantState("tasks", reopening)
		wantText(t, crashed.info("tasks").GetReason(), "no space left on device")
		crashed.put("other", "key", "value")
		if n := attempts(); n < 10 || n > 80 {
			t.Errorf("%d attempts in 30 s", n)
		}
		// In the middle of the next try.
		pass(5 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := crashed.g.Stop(ctx); err == nil {
			t.Error("stop closed a store that is being opened")
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("stop took %v, its context 1s", took)
		}
		before := attempts()
		pass(time.Minute)
		if attempts() > before {
			t.Errorf("%d attempts after Stop", attempts()-before)
		}
		free()
		crashed.start()
		crashed.wantValue("tasks", "key", "value")
	})
}
