//go:build !windows

package store

import (
	"fmt"
	"syscall"
)

// descriptorLimit returns how many descriptors the process may have.
func descriptorLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("ask limit of file descriptors: %w", err)
	}
	return uint64(limit.Cur), nil
}
