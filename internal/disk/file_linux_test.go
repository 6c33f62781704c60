package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/gabiondb/gabion/messages"
)

// fileOf returns a file whose system calls fail with the errors given, one after the other, and then succeed; asked counts
// them.
func fileOf(t *testing.T, ranged bool, errs ...error) (f *file, asked *int) {
	t.Helper()
	opened, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	asked = new(int)
	next := func() error {
		if *asked++; *asked <= len(errs) {
			return errs[*asked-1]
		}
		return nil
	}
	return &file{File: opened, fd: int(opened.Fd()), ranged: ranged, calls: calls{
		fallocate: func(int, uint32, int64, int64) error { return next() },
		syncRange: func(int, int64, int64, int) error { return next() },
		fdatasync: func(int) error { return next() },
	}}, asked
}

func TestPreallocateIsAdvice(t *testing.T) {
	for _, refusal := range []error{unix.EOPNOTSUPP, unix.ENOSYS, unix.ENOSPC, unix.EIO, unix.EPERM} {
		f, asked := fileOf(t, true, unix.EINTR, refusal, refusal)
		for range 3 {
			if err := f.Preallocate(0, 1); err != nil {
				t.Errorf("%v is an error: %v", refusal, err)
			}
		}
		if *asked != 2 {
			t.Errorf("after %v the file was asked %d times, not once after the interrupted call", refusal, *asked)
		}
	}
}

func TestSyncToIsAdviceWhereARangeIsSynced(t *testing.T) {
	for _, refusal := range []error{unix.EOPNOTSUPP, unix.EIO} {
		f, asked := fileOf(t, true, unix.EINTR, refusal)
		if full, err := f.SyncTo(1); full || err != nil || *asked != 2 {
			t.Errorf("%v: full %v, error %v, after %d calls", refusal, full, err, *asked)
		}
	}
}

func TestSyncDataIsNoAdvice(t *testing.T) {
	f, asked := fileOf(t, false, unix.EINTR, nil, unix.EIO, unix.EIO)
	if full, err := f.SyncTo(1); !full || err != nil || *asked != 2 {
		t.Errorf("an interrupted sync: full %v, error %v, after %d calls", full, err, *asked)
	}
	if full, err := f.SyncTo(1); full || !errors.Is(err, unix.EIO) {
		t.Errorf("a sync that failed: full %v, error %v", full, err)
	}
	if err := f.SyncData(); !errors.Is(err, unix.EIO) {
		t.Errorf("a sync that failed: %v", err)
	}
}

// TestRangesAreSyncedWhereTheyAreKnownToBe: procfs takes the call, and does nothing.
func TestRangesAreSyncedWhereTheyAreKnownToBe(t *testing.T) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if syncsRange(int(f.Fd())) {
		t.Error("a file of procfs syncs a range")
	}
}

// TestFileThatSaysItIsEmpty is read no further than its limit either.
func TestFileThatSaysItIsEmpty(t *testing.T) {
	if _, err := ReadNamed("/proc/self/status", 5); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("read a file of procfs past its limit: %v", err)
	}
}

// TestDescriptorsAreClosed: what cannot be opened, listed or locked leaves no descriptor, and a child process gets none.
func TestDescriptorsAreClosed(t *testing.T) {
	dir, system := t.TempDir(), OS(0)
	fifo, file, lock := filepath.Join(dir, "fifo"), filepath.Join(dir, "file"), filepath.Join(dir, "LOCK")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := system.Lock(lock)
	if err != nil {
		t.Fatal(err)
	}
	f, err := system.Create(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child process gets the file: %v", err)
	}
	if err := errors.Join(f.Close(), held.Close()); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for range 10 {
		_, errOpen := system.Open(fifo)
		_, errLock := system.Lock(fifo)
		_, errRead := ReadFile(system, fifo, 5)
		_, errNamed := ReadNamed(fifo, 5)
		if errOpen == nil || errLock == nil || errRead == nil || errNamed == nil {
			t.Fatal("a FIFO is opened")
		}
		if _, err := ReadNamed(file, 5); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(system, file, 5); err != nil {
			t.Fatal(err)
		}
		if _, err := system.List(dir); err != nil {
			t.Fatal(err)
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, and %d were", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestLinksAreCopiesOnOverlayfsAlone(t *testing.T) {
	if linkCopies(OS(0), "/proc") || linkCopies(OS(0), "/no such directory") {
		t.Error("a link in procfs is a copy")
	}
	var s unix.Statfs_t
	if err := unix.Statfs("/", &s); err != nil {
		t.Fatal(err)
	}
	if linkCopies(OS(0), "/") != (s.Type == unix.OVERLAYFS_SUPER_MAGIC) || linkCopies(vfs.NewMem(), "/") {
		t.Errorf("on a file system of type %x, or in memory", s.Type)
	}
}
