package disk

import (
	"io/fs"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultDirMode is the mode of a directory that is made. Windows knows none.
const DefaultDirMode fs.FileMode = 0o700

// OS returns the operating system's file system, which is Pebble's.
func OS(fs.FileMode) vfs.FS { return system{vfs.Default} }

type system struct{ vfs.FS }

func (s system) Unwrap() vfs.FS { return s.FS }

// Lstat describes what path names itself. See Within.
func (s system) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

func openNamed(path string) (*os.File, error) { return os.Open(path) }

// isOwn is false: the mode that Go shows of a file does not say which users may read it.
func isOwn(fs.FileInfo) bool { return false }
