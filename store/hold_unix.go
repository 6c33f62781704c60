//go:build !windows

package store

import (
	"errors"
	"strings"
	"syscall"
)

// isLockConflict tells a lock that somebody holds from one that cannot be made. fcntl answers EAGAIN or
// EACCES; the file system's own register of this process's locks answers by text alone.
func isLockConflict(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno == syscall.EAGAIN
	}
	return strings.Contains(err.Error(), "held by current process")
}
