// Package bench runs loads against key-value stores and measures them: Gabion's own for gabion bench, and any other that
// has the methods of Store. Nothing in it says what is fast.
package bench

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Load is what is done to a store over and over.
type Load struct {
	// Callers is how many goroutines carry out Op, one after another each. Zero means one.
	Callers int
	// Rate is how many operations a second arrive, by a Poisson process, whether or not earlier ones have ended. One that
	// finds no caller free waits, and its latency counts from its arrival. Zero means that each caller goes on at once.
	Rate float64
	// Until, once closed, ends the arrivals of a Rate. What has arrived is carried out, and counts. Nil lets them go on.
	Until <-chan struct{}
	// Counts tells of an operation whether it is measured, by when it arrived or began. It is called by all callers. Nil
	// measures all.
	Counts func(at time.Time) bool
	// Op is carried out with the caller's own source of keys. It returns how many operations it was.
	Op func(ctx context.Context, k *Keys) (int, error)
	// Drain waits for what Op has begun and not waited for; its time counts. Nil where Op waits.
	Drain func() error
}

// Sample is what one run of a load measured.
type Sample struct {
	// Ops were carried out in Seconds.
	Ops     int64   `json:"ops"`
	Seconds float64 `json:"seconds"`
	// P50, P99 and Max are of the latency of one Op, in microseconds; zero where Op does not wait.
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	Max float64 `json:"max_us"`
	// Late is the 99th percentile, in microseconds, of how much later than drawn the arrivals of a Rate were sent, because
	// of the timer or a busy machine. It is part of the latencies.
	Late float64 `json:"late_p99_us,omitempty"`
	// Allocs is the process's allocations for each operation, CPU the processor time for each in microseconds, and Busy the
	// share of the processors that it used.
	Allocs float64 `json:"allocs_per_op"`
	CPU    float64 `json:"cpu_us_per_op"`
	Busy   float64 `json:"cpu_busy"`
	// Written is the bytes written for each byte of a key or value, as Measure counts them: those that files were given, not
	// the pages that the disk was. Others may count otherwise. Zero where nobody did.
	Written float64 `json:"written_per_byte,omitempty"`
}

// PerSecond is the rate of operations.
func (s Sample) PerSecond() float64 { return float64(s.Ops) / s.Seconds }

// Latencies are recorded in nanoseconds: an hour at most, to two digits.
const (
	mostLatency = int64(time.Hour)
	digits      = 2
)

// Run carries out the load until lasts has passed, or ctx has ended, which is its error. Without a Rate each caller carries out
// at least one operation, however busy the machine is.
func Run(ctx context.Context, l Load, keys *Keys, lasts time.Duration) (Sample, error) {
	callers := max(1, l.Callers)
	runtime.GC() // the last run's garbage
	before := usage()
	began := time.Now()
	end := began.Add(lasts)
	running, stop := context.WithCancel(ctx)
	defer stop()
	var arrivals <-chan time.Time
	late := newHistogram()
	if l.Rate > 0 {
		arrivals = arrive(running, l, keys.fork(), began, end, late)
	}
	var mu sync.Mutex
	var s Sample
	var failed error
	all := newHistogram()
	var group sync.WaitGroup
	for range callers {
		own := keys.fork()
		group.Go(func() {
			h := newHistogram()
			ops, err := call(running, l, own, arrivals, end, h)
			mu.Lock()
			defer mu.Unlock()
			s.Ops += ops
			all.Merge(h)
			if err != nil && failed == nil {
				failed = err
				stop()
			}
		})
	}
	group.Wait()
	if l.Drain != nil && failed == nil {
		failed = l.Drain()
	}
	lasted, after := time.Since(began), usage()
	s.Seconds, s.Busy = lasted.Seconds(), busy(after.processors-before.processors, lasted)
	if l.Drain == nil {
		s.P50, s.P99, s.Max = float64(all.ValueAtQuantile(50))/1e3, float64(all.ValueAtQuantile(99))/1e3, float64(all.Max())/1e3
	}
	if l.Rate > 0 && failed == nil { // all arrivals were received: nobody records any more
		s.Late = float64(late.ValueAtQuantile(99)) / 1e3
	}
	if s.Ops > 0 {
		s.Allocs = float64(after.allocs-before.allocs) / float64(s.Ops)
		s.CPU = (after.processors - before.processors).Seconds() * 1e6 / float64(s.Ops)
	}
	if failed == nil {
		failed = ctx.Err()
	}
	return s, failed
}

// call is one caller.
func call(ctx context.Context, l Load, keys *Keys, arrivals <-chan time.Time, end time.Time, h *hdrhistogram.Histogram) (ops int64, err error) {
	for first := true; ctx.Err() == nil; first = false {
		at := time.Now()
		if arrivals != nil {
			var open bool
			if at, open = <-arrivals; !open {
				return ops, nil
			}
		} else if !first && at.After(end) {
			return ops, nil
		}
		n, err := l.Op(ctx, keys)
		if err != nil {
			return ops, err
		}
		if l.Counts != nil && !l.Counts(at) {
			continue
		}
		ops += int64(n)
		_ = h.RecordValue(min(int64(time.Since(at)), mostLatency))
	}
	return ops, nil
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, mostLatency, digits) }
