package bench

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// countFS is a file system that counts the bytes that are written to its files.
type countFS struct {
	vfs.FS
	written atomic.Int64
}

// Unwrap lets Pebble see the file system below.
func (fs *countFS) Unwrap() vfs.FS { return fs.FS }

func (fs *countFS) count(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &countFile{f, &fs.written}, nil
}

// Create implements vfs.FS.
func (fs *countFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.count(fs.FS.Create(name, category))
}

// ReuseForWrite implements vfs.FS.
func (fs *countFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.count(fs.FS.ReuseForWrite(oldname, newname, category))
}

// OpenReadWrite implements vfs.FS.
func (fs *countFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.count(fs.FS.OpenReadWrite(name, category, opts...))
}

type countFile struct {
	vfs.File
	written *atomic.Int64
}

// Write implements vfs.File.
func (f *countFile) Write(p []byte) (n int, err error) {
	n, err = f.File.Write(p)
	f.written.Add(int64(n))
	return n, err
}

// WriteAt implements vfs.File.
func (f *countFile) WriteAt(p []byte, at int64) (n int, err error) {
	n, err = f.File.WriteAt(p, at)
	f.written.Add(int64(n))
	return n, err
}
