//go:build !windows

package bench

import (
	"syscall"
	"time"
)

// processorTime is what the kernel has charged the process with. The runtime's own estimate counts a processor as used while
// a system call waits: 0.7 of two, for a few callers of fsync that use 0.3.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
