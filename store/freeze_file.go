package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

// freezerFile is a file that was opened for writing, or a directory, before its file system froze.
type freezerFile struct {
	vfs.File
	fs   *freezer
	path string
	dir  bool
}

func (f *freezerFile) judge(err error) error {
	if err != nil && f.dir && f.fs.inside(f.path) {
		f.fs.freeze(err)
		return nil
	}
	return f.fs.judge(f.path, err)
}

// synced judges the result of an fsync.
func (f *freezerFile) synced(err error) error {
	if f.dir && disk.NoDirSync(err) {
		return nil
	}
	if err == nil {
		f.fs.synced(f.path)
	}
	return f.judge(err)
}

func (f *freezerFile) Write(p []byte) (int, error) {
	if f.fs.frozen.Load() {
		return len(p), nil
	}
	n, err := f.File.Write(p)
	if err == nil {
		return n, nil
	}
	if err = f.judge(err); err == nil {
		n = len(p)
	}
	return n, err
}

func (f *freezerFile) WriteAt(p []byte, offset int64) (int, error) {
	if f.fs.frozen.Load() {
		return len(p), nil
	}
	n, err := f.File.WriteAt(p, offset)
	if err == nil {
		return n, nil
	}
	if err = f.judge(err); err == nil {
		n = len(p)
	}
	return n, err
}

// Preallocate is advice, and never fails: a write that lacks the space says so itself.
func (f *freezerFile) Preallocate(offset, length int64) error {
	if !f.fs.frozen.Load() {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
}

// Prefetch is advice, and never fails.
func (f *freezerFile) Prefetch(offset, length int64) error {
	_ = f.File.Prefetch(offset, length)
	return nil
}

func (f *freezerFile) Sync() error {
	if f.fs.frozen.Load() {
		return nil
	}
	return f.synced(f.File.Sync())
}

func (f *freezerFile) SyncData() error {
	if f.fs.frozen.Load() {
		return nil
	}
	return f.synced(f.File.SyncData())
}

// SyncTo freezes for an error of the disk, and not for a refusal to sync a range. Where no range can be synced the error
// may be that of a whole fsync.
func (f *freezerFile) SyncTo(length int64) (bool, error) {
	if f.fs.frozen.Load() {
		return true, nil
	}
	full, err := f.File.SyncTo(length)
	if disk.IsAdvice(err) {
		return false, nil
	}
	return full, f.judge(err)
}

// Stat changes nothing, but Pebble ends the process when it cannot tell the size of a WAL that it reuses. An
// empty file stands in for it.
func (f *freezerFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err == nil || !f.fs.vital(f.path) {
		return info, err
	}
	f.fs.freeze(err)
	empty, err := f.fs.createInMemory(f.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	info, err = empty.Stat()
	return info, errors.Join(err, empty.Close())
}

func (f *freezerFile) Close() error {
	frozen := f.fs.frozen.Load()
	err := f.File.Close()
	if frozen || f.dir {
		return nil
	}
	return f.judge(err)
}
