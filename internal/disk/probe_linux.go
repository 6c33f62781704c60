package disk

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// linkCopies tells whether dir is on overlayfs, which copies a file of a lower layer up before it links it.
func linkCopies(fs vfs.FS, dir string) bool {
	if vfs.Root(fs) != vfs.Default {
		return false
	}
	var s unix.Statfs_t
	err := again(func() error { return unix.Statfs(dir, &s) })
	return err == nil && s.Type == unix.OVERLAYFS_SUPER_MAGIC
}
