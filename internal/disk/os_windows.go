package disk

import (
	"io/fs"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// OS returns the operating system's file system, which is Pebble's.
func OS(fs.FileMode) vfs.FS { return system{vfs.Default} }

type system struct{ vfs.FS }

// Keeping returns fsys: Windows knows no modes.
func Keeping(fsys vfs.FS, _ string) vfs.FS { return fsys }

// ModeAt is DefaultDirMode. Windows knows no modes.
func ModeAt(vfs.FS, string) fs.FileMode { return DefaultDirMode }

func (s system) Unwrap() vfs.FS { return s.FS }

// Lstat describes what path names itself. See Within.
func (s system) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

func openNamed(path string) (*os.File, error) { return os.Open(path) }

// isOwn is false: the mode that Go shows of a file does not say which users may read it.
func isOwn(fs.FileInfo) bool { return false }
