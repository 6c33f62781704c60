//go:build !windows

package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/gabiondb/gabion/messages"
)

// OS returns the operating system's file system. Directories that it makes get dirMode, and files the same mode without
// the bits to execute. Zero means what Keeping finds, or DefaultDirMode; a wider mode is set past the umask. A symbolic
// link to a directory is followed, where Within does not refuse it; one to a file never.
func OS(dirMode fs.FileMode) vfs.FS {
	return &system{FS: vfs.Default, dirMode: dirMode.Perm()}
}

// system is the operating system's file system. What touches no file is Pebble's.
type system struct {
	vfs.FS
	// dirMode is the mode that was asked for, zero where none was.
	dirMode fs.FileMode
	// kept are the modes of the directories that Keeping named, the first for what lies in none of them.
	kept []kept
}

func (s *system) Unwrap() vfs.FS { return s.FS }

// open opens a regular file, follows no link to it, and waits for nobody at its other end.
func (s *system) open(path string, flags int) (*os.File, error) {
	f, err := s.descriptor(path, flags|unix.O_NOFOLLOW)
	if err != nil {
		// A link has its own errno on each system, and a socket too.
		if info, statErr := os.Lstat(path); statErr == nil {
			if kind := notFile(path, info.Mode()); kind != nil {
				return nil, kind
			}
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	info, err := f.Stat()
	if err == nil {
		err = notFile(path, info.Mode())
	}
	if mode := s.fileMode(path); err == nil && flags&unix.O_EXCL != 0 && mode != DefaultDirMode&fileBits {
		err = f.Chmod(mode)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// descriptor opens what path names without waiting, and makes reads and writes wait again.
func (s *system) descriptor(path string, flags int) (*os.File, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(s.fileMode(path)))
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (s *system) Create(path string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	for {
		f, err := s.open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
		if err == nil {
			return newFile(f), nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		// It is a regular file. The name goes, not the content: other names of the file keep it.
		err = again(func() error { return unix.Unlink(path) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &fs.PathError{Op: "remove", Path: path, Err: err}
		}
	}
}

func (s *system) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.opened(path, unix.O_RDONLY, opts)
}

func (s *system) OpenReadWrite(path string, _ vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.opened(path, unix.O_RDWR, opts)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f, err = s.opened(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, opts)
	if errors.Is(err, fs.ErrExist) { // somebody was faster
		return s.opened(path, unix.O_RDWR, opts)
	}
	return f, err
}

func (s *system) opened(path string, flags int, opts []vfs.OpenOption) (vfs.File, error) {
	f, err := s.open(path, flags)
	if err != nil {
		return nil, err
	}
	file := newFile(f)
	for _, opt := range opts {
		opt.Apply(file)
	}
	return file, nil
}

func (s *system) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := isFile(from); err != nil {
		return nil, err
	}
	if err := os.Rename(from, to); err != nil {
		return nil, err
	}
	return s.OpenReadWrite(to, category)
}

// Link links a regular file: of a link, some systems would link what it leads to.
func (s *system) Link(from, to string) error {
	if err := isFile(from); err != nil {
		return err
	}
	return os.Link(from, to)
}

func isFile(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return notFile(path, info.Mode())
}

func (s *system) OpenDir(path string) (vfs.File, error) {
	f, err := s.directory(path)
	if err != nil {
		return nil, err
	}
	return &dirFile{f}, nil
}

func (s *system) List(path string) ([]string, error) {
	f, err := s.directory(path)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (s *system) directory(path string) (*os.File, error) {
	f, err := s.descriptor(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// Stat describes the directory that a link leads to. A link to anything else, or to nothing, is a KindError: what is behind
// it is none of ours, and not missing either.
func (s *system) Stat(path string) (vfs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if info, err = os.Stat(path); err != nil || !info.IsDir() {
			return nil, &KindError{Path: path, Want: "file or directory", Found: foundLink}
		}
	}
	return fileInfo{info}, nil
}

// Lstat describes what path names itself. See Within.
func (s *system) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

// MkdirAll gives what it makes the mode of OS, whatever the argument.
func (s *system) MkdirAll(path string, _ fs.FileMode) error {
	info, err := s.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if parent := s.PathDir(path); parent != path {
		if err := s.MkdirAll(parent, 0); err != nil {
			return err
		}
	}
	mode := s.modeAt(path)
	if err := os.Mkdir(path, mode); errors.Is(err, fs.ErrExist) {
		return s.MkdirAll(path, 0) // somebody was faster
	} else if err != nil {
		return err
	}
	return widen(path, mode)
}

// widen sets the mode of a directory that was made, but for what it has from its parent.
func widen(path string, mode fs.FileMode) error {
	if mode == DefaultDirMode {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return os.Chmod(path, mode|info.Mode()&fs.ModeSetgid)
}

// Identity identifies a file by its device and its inode, without following a link.
func (s *system) Identity(path string) (*messages.FileIdentity, error) {
	info, err := os.Lstat(path)
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

// fileInfo has no DeviceID that could tell devices apart: Pebble's type cannot be made elsewhere, and Pebble asks for none.
type fileInfo struct{ fs.FileInfo }

// DeviceID is the same of every file.
func (fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// openNamed opens what path names, without waiting for anybody.
func openNamed(path string) (*os.File, error) {
	f, err := (&system{}).descriptor(path, unix.O_RDONLY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// isOwn tells whether a file belongs to the user of this process.
func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
