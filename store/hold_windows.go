package store

import (
	"errors"
	"strings"
	"syscall"
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
