package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// ErrKind: something else stands where a file or a directory of Gabion's belongs. A KindError says what.
var ErrKind = errors.New("not what belongs there")

// KindError says what stands at Path in place of what Want names. It matches ErrKind, and, for a directory in place of a
// file, syscall.EISDIR.
type KindError struct {
	// Path is what was looked at.
	Path string
	// Want is what belongs there: "file" or "directory".
	Want string
	// Found is what is there: "symbolic link", "directory", "FIFO", "socket" or "device".
	Found string
}

func (e *KindError) Error() string {
	return fmt.Sprintf("%s is a %s, where a %s belongs", e.Path, e.Found, e.Want)
}

// Is matches ErrKind and syscall.EISDIR, see KindError.
func (e *KindError) Is(target error) bool {
	return target == ErrKind || target == syscall.EISDIR && e.Found == foundDirectory
}

// GetHint says what to do about it, for messages.Hints.
func (e *KindError) GetHint() string {
	if e.Found == foundLink {
		return "Gabion follows no link below its directories, but for tables/NAME: put what the link leads to in its place, or remove the link"
	}
	return fmt.Sprintf("remove the %s, and put the %s back if it was moved", e.Found, e.Want)
}

// The kinds that a KindError finds.
const (
	foundLink      = "symbolic link"
	foundDirectory = "directory"
	wantFile       = "file"
)

// found names the kind of file that has a mode.
func found(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return foundLink
	case mode.IsDir():
		return foundDirectory
	case mode&fs.ModeNamedPipe != 0:
		return "FIFO"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	case mode.IsRegular():
		return wantFile
	}
	return "special file"
}

// notFile returns a KindError unless mode is a regular file's.
func notFile(path string, mode fs.FileMode) error {
	if mode.IsRegular() {
		return nil
	}
	return &KindError{Path: path, Want: wantFile, Found: found(mode)}
}
