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

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// FormatVersion is the format of everything this version writes. A directory with a newer one is
// refused.
const FormatVersion = 1

// The files that make a directory Gabion's. lockFile is empty; holderFile says who holds the lock.
const (
	infoFile   = disk.InfoFile
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
//
// LOCK is the lock. gabion.json is a second one where the system can lock a file that is open for reading. LOCK can be
// missing and impossible to make: on a full disk, or where nothing may be written.
type Hold struct {
	fs   vfs.FS
	path string
	// lock is that on LOCK, info that on gabion.json. Either may be nil, both only where nobody can write.
	lock io.Closer
	info vfs.File
	// place is the directory that is locked.
	place *Place
	// noted is set where owner.json is ours; unnoted says why it is not.
	noted   bool
	unnoted error
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

// Acquire locks dir, which must exist, and notes there which process holds it, as far as the disk takes a note
// (Unnoted). When it is held already the error matches ErrHeld and names the holder. dir must be a RealPath.
func Acquire(fs vfs.FS, dir string) (*Hold, error) {
	h, err := acquire(fs, dir, false)
	if err != nil {
		return nil, err
	}
	if h.note(); errors.Is(h.unnoted, disk.ErrKind) {
		return nil, errors.Join(h.unnoted, h.unlock())
	}
	return h, nil
}

// AcquireToRead is Acquire for a caller that changes nothing: neither LOCK nor the note is written. On a disk that is
// mounted for reading only, a holder by another mount still conflicts, where gabion.json can be locked.
func AcquireToRead(fs vfs.FS, dir string) (*Hold, error) { return acquire(fs, dir, true) }

func acquire(fs vfs.FS, dir string, toRead bool) (_ *Hold, err error) {
	h := &Hold{fs: fs, path: dir}
	if h.place, err = Occupy(fs, dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.unlock())
		}
	}()
	if err := h.LockInfo(); err != nil {
		return nil, err
	}
	path := fs.PathJoin(dir, lockFile)
	if toRead {
		// The holder has made the file: to make it would be a change.
		if exists, err := Exists(fs, path); err == nil && !exists {
			return h, nil
		}
	}
	switch h.lock, err = fs.Lock(path); {
	case err == nil, toRead && MountedReadOnly(err), (NoRoom(err) || toRead && errors.Is(err, os.ErrPermission)) && h.info != nil:
		return h, nil
	case isLockConflict(err):
		return nil, h.held()
	case errors.Is(err, disk.ErrKind):
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	hint := "check that the directory can be written and that its disk has free space"
	switch {
	case MountedReadOnly(err):
		hint = "mount the disk for writing; what it has can be read, exported and restored from as it is"
	case errors.Is(err, os.ErrPermission):
		hint = "run as the user who owns the directory, or correct its permissions"
	}
	return nil, messages.WithHint(fmt.Errorf("lock %s: %w", dir, err), hint)
}

// LockInfo locks gabion.json too, once, where there is one and the system can. The caller that has just made gabion.json
// calls LockInfo again.
func (h *Hold) LockInfo() error {
	if h.info != nil {
		return nil
	}
	f, err := h.fs.Open(h.fs.PathJoin(h.path, infoFile))
	if err != nil {
		return nil // LOCK is the lock; whoever reads the file learns why it cannot
	}
	switch held, err := lockOpen(f); {
	case held:
		return errors.Join(h.held(), f.Close())
	case err != nil:
		return f.Close()
	}
	h.info = f
	return nil
}

func (h *Hold) held() error {
	return messages.WithHint(
		fmt.Errorf("lock %s: %w by %s", h.path, ErrHeld, describeHolder(h.fs, h.path)),
		"stop that process, or name another directory")
}

// note names the holder of the directory, for the error of the next process that wants it. It is a courtesy: nothing
// fails without it.
func (h *Hold) note() {
	path := h.fs.PathJoin(h.path, holderFile)
	host, _ := os.Hostname()
	note, err := protojson.Marshal(&messages.Holder{
		Pid:     int64(os.Getpid()),
		Program: filepath.Base(os.Args[0]),
		Host:    host,
		Since:   timestamppb.New(time.Now()),
	})
	if err == nil {
		err = WriteSynced(h.fs, path, note)
	}
	if err != nil && !errors.Is(err, disk.ErrKind) {
		// What stands there would name a holder that is gone.
		_ = h.fs.Remove(path)
	}
	if err != nil {
		h.unnoted = fmt.Errorf("note holder of %s: %w", h.path, err)
		return
	}
	h.noted = true
}

// Unnoted says why no note names the holder of the directory. It is nil where one does, or none was to be left.
func (h *Hold) Unnoted() error { return h.unnoted }

// Check returns an error that matches ErrReplaced when the path no longer names the directory that is locked. Any other
// error says that this cannot be known. Where the file system knows no identities, gabion.json decides. A nil Hold holds
// any directory.
func (h *Hold) Check(storeID string) error {
	if h == nil {
		return nil
	}
	if h.place.identity == nil {
		return h.place.checkOwner(storeID)
	}
	return h.place.Check()
}

// CheckOwner is Check, and that gabion.json still names the store: somebody may have emptied the directory. It reads that
// file, where Check only asks for the directory's identity.
func (h *Hold) CheckOwner(storeID string) error {
	if h == nil {
		return nil
	}
	return h.place.checkOwner(storeID)
}

// Release gives the directory free. It may be called once.
func (h *Hold) Release() error {
	var err error
	// A note in another directory is another holder's.
	if h.noted && !errors.Is(h.place.Check(), ErrReplaced) {
		// The note goes first: without the lock it could already be the next holder's.
		if err = h.fs.Remove(h.fs.PathJoin(h.path, holderFile)); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, h.unlock())
}

func (h *Hold) unlock() (err error) {
	if h.lock != nil {
		err = h.lock.Close()
	}
	if h.info != nil {
		err = errors.Join(err, h.info.Close())
	}
	return errors.Join(err, h.place.Leave())
}

func describeHolder(fs vfs.FS, dir string) string {
	var holder messages.Holder
	data, err := disk.ReadFile(fs, fs.PathJoin(dir, holderFile), noteLimit)
	if err != nil || protojson.Unmarshal(data, &holder) != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d (%s on %s, since %s)", holder.GetPid(), holder.GetProgram(),
		holder.GetHost(), holder.GetSince().AsTime().Format(time.RFC3339))
}

// ReadInfo reads dir's gabion.json; nil where there is none.
func ReadInfo(fs vfs.FS, dir string) (*messages.StoreInfo, error) {
	path := fs.PathJoin(dir, infoFile)
	data, err := disk.ReadFile(fs, path, noteLimit)
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
	return writeInfo(fs, dir, &messages.StoreInfo{StoreId: storeID})
}

// writeInfo is WriteInfo with all that info says, beside format version and time.
func writeInfo(fs vfs.FS, dir string, info *messages.StoreInfo) error {
	info.FormatVersion, info.Created = FormatVersion, timestamppb.New(time.Now())
	data, err := protojson.Marshal(info)
	if err != nil {
		return fmt.Errorf("marshal %s: %w", infoFile, err)
	}
	return WriteDurably(fs, fs.PathJoin(dir, infoFile), data)
}
