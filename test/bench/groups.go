package main

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// groupFS is the real file system, and counts the groups that Gabion acknowledges: each writes the table's mark once.
type groupFS struct {
	vfs.FS
	groups atomic.Int64
}

func newGroupFS() *groupFS { return &groupFS{FS: vfs.Default} }

// Unwrap lets Pebble see the real file system.
func (fs *groupFS) Unwrap() vfs.FS { return fs.FS }

// OpenReadWrite implements vfs.FS.
func (fs *groupFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.OpenReadWrite(name, category, opts...)
	if err != nil || !strings.HasSuffix(name, ".mark") {
		return f, err
	}
	return &markFile{f, &fs.groups}, nil
}

type markFile struct {
	vfs.File
	groups *atomic.Int64
}

// WriteAt implements vfs.File.
func (f *markFile) WriteAt(p []byte, at int64) (int, error) {
	f.groups.Add(1)
	return f.File.WriteAt(p, at)
}
