//go:build !windows

package store

import (
	"errors"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
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

// lockOpen locks an open file until it is closed, also against others of this process; held tells that somebody else has.
// An error means that it cannot be locked: some network file systems want it open for writing.
func lockOpen(f vfs.File) (held bool, err error) {
	fd := f.Fd()
	if fd == vfs.InvalidFd {
		return false, vfs.ErrUnsupported
	}
	for {
		err = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			return err == syscall.EWOULDBLOCK, err
		}
	}
}
