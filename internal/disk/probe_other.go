//go:build !linux

package disk

import "github.com/cockroachdb/pebble/v2/vfs"

// linkCopies is of Linux.
func linkCopies(vfs.FS, string) bool { return false }
