//go:build !linux && !windows

package disk

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is a regular file. These systems take no advice that is worth a call.
type file struct{ *os.File }

func newFile(f *os.File) vfs.File { return &file{f} }

func (f *file) Stat() (vfs.FileInfo, error)    { return stat(f.File) }
func (f *file) Preallocate(int64, int64) error { return nil }
func (f *file) Prefetch(int64, int64) error    { return nil }
func (f *file) SyncData() error                { return f.Sync() }

// SyncTo syncs all of the file: its error is that of a write.
func (f *file) SyncTo(int64) (fullSync bool, err error) {
	if err := f.Sync(); err != nil {
		return false, err
	}
	return true, nil
}
