package disk

import (
	"errors"
	"io/fs"
	"runtime"
	"syscall"
)

// NoLink tells whether the file system makes no such hard link. That is no fault of the disk: the file must be copied,
// or used where it is.
func NoLink(err error) bool {
	for _, refusal := range []error{fs.ErrPermission, errors.ErrUnsupported, syscall.EXDEV, syscall.EMLINK, syscall.EINVAL} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	// ERROR_INVALID_FUNCTION and ERROR_NOT_SAME_DEVICE.
	var errno syscall.Errno
	return runtime.GOOS == "windows" && errors.As(err, &errno) && (errno == 1 || errno == 17)
}

// NoRename tells whether a rename failed because both names are on different devices. A directory of a lower layer of
// overlayfs is on another device than its own parent.
func NoRename(err error) bool { return errors.Is(err, syscall.EXDEV) }

// NoDirSync tells whether an fsync of a directory failed because the file system has none. It makes names durable when
// it chooses, and nothing more can be done. For an error of the disk, such as EIO, it is false.
func NoDirSync(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}
