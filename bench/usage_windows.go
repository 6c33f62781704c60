package bench

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// processorTime is the runtime's estimate, which is too high while system calls wait.
func processorTime() time.Duration {
	runtime.GC() // brings it up to date
	s := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration((s[0].Value.Float64() - s[1].Value.Float64()) * float64(time.Second))
}
