//go:build linux || darwin

package store

import (
	"fmt"
	"os"
	"syscall"

	"github.com/gabiondb/gabion/messages"
)

// Identity implements Identifier by device and inode number.
func (fs realFS) Identity(path string) (*messages.FileIdentity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("identify %s: %w", path, err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, nil
	}
	return &messages.FileIdentity{
		Device: fmt.Sprint(stat.Dev),
		Inode:  uint64(stat.Ino),
		Size:   info.Size(),
		Mtime:  info.ModTime().UnixNano(),
	}, nil
}
