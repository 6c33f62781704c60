package actors_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
)

// TestGather: on a slow disk, callers who come at all times make a few groups for each fsync, and still none waits for more
// than the fsync it met, the next one, and a little.
func TestGather(t *testing.T) {
	const (
		fsync   = 8 * time.Millisecond
		callers = 64
		puts    = 30
	)
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "key", "value")
		var groups, syncs atomic.Int64
		h.fs.on(walSync("tasks"), func(fileOp) error { syncs.Add(1); <-time.After(fsync); return nil })
		h.fs.on(func(o fileOp) bool { return o.kind == "write" && strings.HasSuffix(o.path, ".mark") },
			func(fileOp) error { groups.Add(1); return nil }) // one for each group that is acknowledged
		var slowest atomic.Int64
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(1, uint64(c)))
				for i := range puts {
					<-time.After(time.Duration(rng.Int64N(int64(2 * fsync))))
					began := time.Now()
					h.put("tasks", fmt.Sprint(c, ".", i), "value")
					took := int64(time.Since(began))
					for have := slowest.Load(); took > have && !slowest.CompareAndSwap(have, took); have = slowest.Load() {
					}
				}
			})
		}
		all.Wait()
		t.Logf("%d puts in %d groups and %d fsyncs, the slowest in %v", callers*puts, groups.Load(), syncs.Load(), time.Duration(slowest.Load()))
		if g, s := groups.Load(), syncs.Load(); g > 8*s {
			t.Errorf("%d groups for %d fsyncs", g, s)
		}
		if most := 2*fsync + fsync/2; time.Duration(slowest.Load()) > most {
			t.Errorf("a put took %v, want %v at most", time.Duration(slowest.Load()), most)
		}
	})
}
