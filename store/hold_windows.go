package store

import (
	"errors"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// isLockConflict tells a lock that somebody holds from one that cannot be made: a sharing violation.
func isLockConflict(err error) bool {
	const sharingViolation = syscall.Errno(32)
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno == sharingViolation
	}
	return strings.Contains(err.Error(), "held by current process")
}

// lockOpen locks nothing: a lock would keep others from reading the file.
func lockOpen(vfs.File) (held bool, err error) { return false, vfs.ErrUnsupported }
