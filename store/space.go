package store

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

const (
	// mostReserve is what must stay free of a disk when nobody says otherwise, or reserveShare of it where that is less.
	mostReserve  = 256 << 20
	reserveShare = 16
)

// Room is what a disk has free.
type Room struct {
	// Free is what the user of this process may still write, in bytes.
	Free uint64
	// Reserve is how much of it must stay free: below, Pebble would soon meet a full disk.
	Reserve uint64
}

// Short tells whether less than the reserve is free.
func (r Room) Short() bool { return r.Free < r.Reserve }

// RoomAt returns what the disk of path has free; ok is false where the file system cannot tell. A reserve of zero is 256
// MiB, or a sixteenth of the disk where that is less.
func RoomAt(fs vfs.FS, path string, reserve uint64) (room Room, ok bool, err error) {
	usage, err := fs.GetDiskUsage(path)
	if errors.Is(err, vfs.ErrUnsupported) {
		return Room{}, false, nil
	}
	if err != nil {
		return Room{}, false, fmt.Errorf("ask for free space of %s: %w", path, err)
	}
	if reserve == 0 {
		reserve = min(mostReserve, usage.TotalBytes/reserveShare)
	}
	return Room{Free: usage.AvailBytes, Reserve: reserve}, true, nil
}

// NoRoom tells whether an error is that of a disk that is full, or of a user's quota.
func NoRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Unreadable tells whether an error is that of a file that is there and whose content the disk does not give.
func Unreadable(err error) bool { return errors.Is(err, syscall.EIO) }

// syncWALs makes durable what lies in the WALs of a lineage: a store that is read without being opened for writing must
// show nothing that a crash could take back.
func syncWALs(fs vfs.FS, path string) error {
	names, err := fs.List(path)
	if err != nil {
		return fmt.Errorf("list %s: %w", path, err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		f, err := fs.Open(fs.PathJoin(path, name))
		if err != nil {
			return fmt.Errorf("open %s: %w", name, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", name, err)
		}
	}
	return nil
}

// WrongKind tells whether an error means that something else stands where a file or a directory belongs.
func WrongKind(err error) bool {
	return errors.Is(err, disk.ErrKind) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTDIR)
}

// MountedReadOnly tells whether an error is that of a change on a disk that is mounted for reading only.
func MountedReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
