package store

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// Identifier is what a vfs.FS implements when it can tell files apart by more than their names.
// A file system without it has every file copied where it could have been linked.
type Identifier interface {
	// Identity identifies the file that path names now.
	Identity(path string) (*messages.FileIdentity, error)
}

// RealFS is the operating system's file system, with identities where the system has them. Its user alone may read what
// it makes. A file that is no regular one is an error, see package disk.
func RealFS() vfs.FS { return disk.OS(0) }

// Identify returns the identity of the file at path, or nil where fs, or any file system it
// wraps, knows none.
func Identify(fs vfs.FS, path string) (*messages.FileIdentity, error) {
	for fs != nil {
		if i, ok := fs.(Identifier); ok {
			return i.Identity(path)
		}
		fs = fs.Unwrap()
	}
	return nil, nil
}
