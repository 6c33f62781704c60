//go:build !linux

package disk

import "github.com/cockroachdb/pebble/v2/vfs"

// linkCopies is false: overlayfs exists on Linux alone.
func linkCopies(vfs.FS, string) bool { return false }
