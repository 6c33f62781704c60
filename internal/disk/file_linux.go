package disk

import (
	"os"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// calls are the system calls that a file makes beside those of os.File.
type calls struct {
	fallocate func(fd int, mode uint32, offset, length int64) error
	syncRange func(fd int, offset, length int64, flags int) error
	fdatasync func(fd int) error
}

// file is a regular file.
type file struct {
	*os.File
	fd    int
	calls calls
	// unallocated is set when the file system has refused to preallocate: it is not asked again for this file.
	unallocated atomic.Bool
	// ranged tells whether the file system is known to sync a range.
	ranged bool
}

func newFile(f *os.File) vfs.File {
	fd := int(f.Fd())
	return &file{File: f, fd: fd, ranged: syncsRange(fd),
		calls: calls{fallocate: unix.Fallocate, syncRange: unix.SyncFileRange, fdatasync: unix.Fdatasync}}
}

// syncsRange tells whether sync_file_range is known to do something on the file system, as Pebble knows it.
func syncsRange(fd int) bool {
	var s unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(fd, &s) }); err != nil {
		return false
	}
	return s.Type == unix.EXT4_SUPER_MAGIC && unix.SyncFileRange(fd, 0, 0, 0) == nil
}

func (f *file) Stat() (vfs.FileInfo, error) { return stat(f.File) }

// Preallocate is advice: a disk on which the space is missing says so again when the file is written.
func (f *file) Preallocate(offset, length int64) error {
	if f.unallocated.Load() {
		return nil
	}
	err := again(func() error { return f.calls.fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, offset, length) })
	if err != nil {
		f.unallocated.Store(true)
	}
	return nil
}

// Prefetch is advice.
func (f *file) Prefetch(offset, length int64) error {
	_, _, _ = unix.Syscall(unix.SYS_READAHEAD, uintptr(f.fd), uintptr(offset), uintptr(length))
	return nil
}

// SyncData makes the content durable, and the size.
func (f *file) SyncData() error {
	if err := again(func() error { return f.calls.fdatasync(f.fd) }); err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

// SyncTo is advice where the file system syncs a range: what that meets, the next fsync reports. Elsewhere it is a whole
// SyncData, whose error no later call would report again.
func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	if !f.ranged {
		if err := f.SyncData(); err != nil {
			return false, err
		}
		return true, nil
	}
	_ = again(func() error {
		return f.calls.syncRange(f.fd, 0, length, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE)
	})
	return false, nil
}
