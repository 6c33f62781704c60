package bench

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"
)

// spent is what the process has used so far.
type spent struct {
	allocs     uint64
	processors time.Duration // of all of them together
}

func usage() spent {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(s)
	return spent{allocs: s[0].Value.Uint64(), processors: processorTime()}
}

// A process rests that uses less than restShare of one processor.
const (
	restShare = 0.05
	restLook  = 50 * time.Millisecond
	longRest  = 30 * time.Second
)

// Rest waits until the process does nothing any more, as compactions do, or half a minute has passed.
func Rest(ctx context.Context) error {
	for end := time.Now().Add(longRest); time.Now().Before(end); {
		before, began := processorTime(), time.Now()
		select {
		case <-time.After(restLook):
		case <-ctx.Done():
			return ctx.Err()
		}
		if float64(processorTime()-before) < restShare*float64(time.Since(began)) {
			return nil
		}
	}
	return nil
}

// busy is the share of the processors that a process used which may use them all.
func busy(used, lasted time.Duration) float64 {
	return used.Seconds() / lasted.Seconds() / float64(runtime.GOMAXPROCS(0))
}
