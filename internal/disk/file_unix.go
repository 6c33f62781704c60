//go:build !windows

package disk

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// dirFile is a directory that is open to be synced.
type dirFile struct{ *os.File }

func (d *dirFile) Stat() (vfs.FileInfo, error)           { return stat(d.File) }
func (d *dirFile) SyncData() error                       { return d.Sync() }
func (d *dirFile) SyncTo(int64) (fullSync bool, _ error) { return false, nil }
func (d *dirFile) Preallocate(int64, int64) error        { return nil }
func (d *dirFile) Prefetch(int64, int64) error           { return nil }

func stat(f *os.File) (vfs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return fileInfo{info}, nil
}
