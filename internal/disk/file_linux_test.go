package disk

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
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
