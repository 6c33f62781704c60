//go:build !windows

package disk

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Owner is whose a file is, and what for.
type Owner struct {
	// User and Group are their numbers, as this process sees them.
	User, Group uint32
	// Mode is the file's, with its kind.
	Mode fs.FileMode
}

// OwnerOf describes what path names itself.
func OwnerOf(path string) (Owner, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Owner{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Owner{}, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrInvalid}
	}
	return Owner{User: stat.Uid, Group: stat.Gid, Mode: info.Mode()}, nil
}

// Permits returns an error unless this process may do with path what the bits of do say: 4 to read, 2 to write, 1 to enter a
// directory. The kernel answers, so that access lists, capabilities and user namespaces count.
func Permits(path string, do uint32) error {
	if err := again(func() error { return unix.Faccessat(unix.AT_FDCWD, path, do, unix.AT_EACCESS) }); err != nil {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}

// Admits tells whether the mode of a directory lets this process make files in it, whatever root may do beyond.
func (o Owner) Admits() bool {
	switch {
	case o.Mode&0o002 != 0:
		return true
	case o.Mode&0o020 == 0:
		return false
	case o.Group == uint32(os.Getegid()):
		return true
	}
	groups, _ := os.Getgroups()
	for _, group := range groups {
		if uint32(group) == o.Group {
			return true
		}
	}
	return false
}

// Heir is the group of what this process makes in a directory.
func (o Owner) Heir() uint32 {
	if o.Mode&fs.ModeSetgid != 0 || runtime.GOOS != "linux" {
		return o.Group
	}
	return uint32(os.Getegid())
}

// TryOwner makes an empty file in dir, and removes it: it returns whose the file was. On a network's file system, one without
// owners, or in a user namespace, that need not be this process's user. A crash leaves an
// empty file that IsTrial knows, and that Probe removes.
func TryOwner(fsys vfs.FS, dir string) (o Owner, err error) {
	path := fsys.PathJoin(dir, trialPrefix+rand.Text())
	f, err := fsys.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return Owner{}, err
	}
	if err = f.Close(); err == nil {
		o, err = OwnerOf(path)
	}
	if removed := fsys.Remove(path); err == nil && !errors.Is(removed, os.ErrNotExist) { // a Probe may remove it
		err = removed
	}
	return o, err
}
