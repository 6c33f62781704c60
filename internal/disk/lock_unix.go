//go:build !windows

package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// locked are the files that this process holds locked, by device and inode. Within one process fcntl refuses no lock,
// and it gives a lock up when any descriptor of the file is closed. So the files are looked at before they are opened.
var locked struct {
	mu    sync.Mutex
	files map[inode]bool
}

type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) inode {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}
	}
	return inode{uint64(stat.Dev), uint64(stat.Ino)}
}

// errLocked is known by its text: Pebble's own file system answers the same.
var errLocked = errors.New("lock held by current process")

// Lock makes the file where it is missing, and never truncates it: it may be another name of something else. A lock that
// another process holds is syscall.EAGAIN.
func (s *system) Lock(path string) (io.Closer, error) {
	locked.mu.Lock()
	defer locked.mu.Unlock()
	if info, err := os.Lstat(path); err == nil && locked.files[inodeOf(info)] {
		return nil, errLocked
	}
	f, err := s.open(path, unix.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		err = again(func() error { return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock) })
		if errors.Is(err, unix.EACCES) { // which some systems answer where others say EAGAIN
			err = unix.EAGAIN
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if locked.files == nil {
		locked.files = make(map[inode]bool)
	}
	locked.files[inodeOf(info)] = true
	return &fileLock{file: f, inode: inodeOf(info)}, nil
}

// fileLock is a lock that is held.
type fileLock struct {
	file  *os.File
	inode inode
}

// Close gives the lock up. It may be called once.
func (l *fileLock) Close() error {
	locked.mu.Lock()
	defer locked.mu.Unlock()
	delete(locked.files, l.inode)
	return l.file.Close()
}
