package disk

import (
	"errors"
	"io/fs"
	"runtime"
	"syscall"
)

// NoLink tells whether a hard link failed for what the file system is, or for where the link goes, and not for a fault of the
// disk: the file must be copied, or used where it is.
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

// NoRename tells whether a rename failed for where the file or directory is: a directory of a lower layer of overlayfs is on
// another device than its own parent.
func NoRename(err error) bool { return errors.Is(err, syscall.EXDEV) }

// NoDirSync tells whether an fsync of a directory failed because the file system has none: names are durable there when it
// chooses, and nothing more can be done. An error of the disk, such as EIO, is none of these.
func NoDirSync(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}
