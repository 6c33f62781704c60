package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// FormatVersion is the format of everything this version writes. A directory with a newer one is
// refused.
const FormatVersion = 1

// The files that make a directory Gabion's. lockFile is empty; holderFile says who holds the lock.
const (
	infoFile   = "gabion.json"
	lockFile   = "LOCK"
	holderFile = "owner.json"
)

// Errors of a directory that cannot be used.
var (
	// ErrHeld: another Gabion, in this process or another one, holds the directory.
	ErrHeld = errors.New("directory is in use")
	// ErrForeign: the directory holds something that is not Gabion's, or another store's.
	ErrForeign = errors.New("directory is not this Gabion's")
	// ErrNewer: the directory was written by a newer version.
	ErrNewer = errors.New("directory has a newer format")
)

// Hold is the lock on one directory. It conflicts with every other Hold of the same directory, in
// this process too.
type Hold struct {
	fs   vfs.FS
	path string
	lock io.Closer
}

// RealPath returns dir absolute and, where it exists on the operating system's file system, without
// symbolic links: two names of one directory must not give two locks.
func RealPath(fs vfs.FS, dir string) (string, error) {
	if vfs.Root(fs) != vfs.Default {
		return dir, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", dir, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	// The last element may not exist yet; its parent's links count all the same.
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return abs, nil
	}
	return filepath.Join(parent, filepath.Base(abs)), nil
}

// Acquire locks dir, which must exist, and leaves a note of who holds it. When it is held already
// the error matches ErrHeld and names the holder. dir must be a RealPath.
func Acquire(fs vfs.FS, dir string) (*Hold, error) {
	lock, err := fs.Lock(fs.PathJoin(dir, lockFile))
	if err != nil {
		if isLockConflict(err) {
			return nil, messages.WithHint(
				fmt.Errorf("lock %s: %w by %s", dir, ErrHeld, describeHolder(fs, dir)),
				"stop that process, or name another directory")
		}
		hint := "check that the directory can be written and that its disk has free space"
		if errors.Is(err, os.ErrPermission) {
			hint = "run as the user who owns the directory, or correct its permissions"
		}
		return nil, messages.WithHint(fmt.Errorf("lock %s: %w", dir, err), hint)
	}
	h := &Hold{fs: fs, path: dir, lock: lock}
	host, _ := os.Hostname()
	note, err := protojson.Marshal(&messages.Holder{
		Pid:     int64(os.Getpid()),
		Program: filepath.Base(os.Args[0]),
		Host:    host,
		Since:   timestamppb.New(time.Now()),
	})
	if err == nil {
		err = WriteSynced(fs, fs.PathJoin(dir, holderFile), note)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("note holder of %s: %w", dir, err), lock.Close())
	}
	return h, nil
}

// Release gives the directory free. It may be called once.
func (h *Hold) Release() error {
	// The note goes first: without the lock it could already be the next holder's.
	err := h.fs.Remove(h.fs.PathJoin(h.path, holderFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, h.lock.Close())
}

func describeHolder(fs vfs.FS, dir string) string {
	var holder messages.Holder
	data, err := ReadFile(fs, fs.PathJoin(dir, holderFile))
	if err != nil || protojson.Unmarshal(data, &holder) != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d (%s on %s, since %s)", holder.GetPid(), holder.GetProgram(),
		holder.GetHost(), holder.GetSince().AsTime().Format(time.RFC3339))
}

// ReadInfo reads dir's gabion.json; nil where there is none.
func ReadInfo(fs vfs.FS, dir string) (*messages.StoreInfo, error) {
	path := fs.PathJoin(dir, infoFile)
	data, err := ReadFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var info messages.StoreInfo
	// Fields of a newer version must not hide its version number.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &info); err != nil {
		return nil, messages.WithHint(fmt.Errorf("parse %s: %w", path, err),
			"the file is damaged: put it back from a backup of the directory, or restore into an empty one")
	}
	if info.GetFormatVersion() > FormatVersion {
		return nil, messages.WithHint(
			fmt.Errorf("%s: %w: %d, this version knows %d", path, ErrNewer, info.GetFormatVersion(), FormatVersion),
			"use the version of gabion that wrote the directory, or a newer one")
	}
	return &info, nil
}

// WriteInfo durably writes dir's gabion.json for the given store.
func WriteInfo(fs vfs.FS, dir, storeID string) error {
	data, err := protojson.Marshal(&messages.StoreInfo{
		StoreId:       storeID,
		FormatVersion: FormatVersion,
		Created:       timestamppb.New(time.Now()),
	})
	if err != nil {
		return fmt.Errorf("marshal %s: %w", infoFile, err)
	}
	return WriteDurably(fs, fs.PathJoin(dir, infoFile), data)
}
