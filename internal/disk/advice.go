package disk

import (
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// IsAdvice tells whether an error of an advisory call (Preallocate, Prefetch, SyncTo) means only that the call was not
// carried out. The file system does not know the call, or a signal interrupted it. No byte is lost by that.
func IsAdvice(err error) bool {
	for _, refusal := range []error{errors.ErrUnsupported, syscall.EINTR, syscall.EAGAIN, syscall.EINVAL, syscall.ENOTTY,
		syscall.EPERM, syscall.ESPIPE} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// SyncTo asks for the first length bytes of a file to be written back soon. An error means that a write failed.
func SyncTo(f vfs.File, length int64) error {
	if _, err := f.SyncTo(length); err != nil && !IsAdvice(err) {
		return err
	}
	return nil
}

// again makes a call until no signal interrupts it.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
