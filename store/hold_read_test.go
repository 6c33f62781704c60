package store

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The note of the holder is a courtesy. Whatever operation on it fails, the directory is held, and no note names a
// holder that is gone.
func TestHoldWithoutANote(t *testing.T) {
	mem := vfs.NewMem()
	for n := 0; ; n++ {
		if err := WriteSynced(mem, "/"+holderFile, []byte(`{"pid":"1"}`)); err != nil {
			t.Fatal(err)
		}
		fs := &hookFS{FS: mem}
		before, fired := failNth(n, syscall.ENOSPC, func(o fileOp) bool { return o.base() == holderFile && o.kind != "remove" && o.kind != "close" })
		fs.hooks(before, nil)
		h, err := Acquire(fs, "/")
		fs.hooks(nil, nil)
		if err != nil {
			t.Fatalf("without operation %d of the note: %v", n, err)
		}
		if missing := errors.Is(h.Unnoted(), syscall.ENOSPC); missing != fired() {
			t.Errorf("without operation %d of the note, Unnoted = %v", n, h.Unnoted())
		}
		if _, err := Acquire(mem, "/"); !errors.Is(err, ErrHeld) || strings.Contains(err.Error(), "process 1 ") {
			t.Errorf("without operation %d of the note, a second hold: %v", n, err)
		}
		if err := h.Release(); err != nil {
			t.Fatal(err)
		}
		if !fired() {
			if n < 3 {
				t.Errorf("the note took %d operations", n)
			}
			return
		}
	}
}

// A reader writes nothing, and conflicts with a holder all the same: where LOCK is missing, or cannot be opened for
// writing.
func TestHoldToRead(t *testing.T) {
	for what, refuse := range map[string]func(o fileOp) error{
		"plain": func(fileOp) error { return nil },
		"mounted for reading only": func(o fileOp) error {
			if o.changes() && o.kind != "close" {
				return &os.PathError{Op: o.kind, Path: o.path, Err: syscall.EROFS}
			}
			return nil
		},
	} {
		for _, lock := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, LOCK is there: %v", what, lock), func(t *testing.T) {
				onBoth(t, func(t *testing.T, real vfs.FS, dir string) {
					if err := WriteInfo(real, dir, "id"); err != nil {
						t.Fatal(err)
					}
					if lock {
						checkFreeOn(t, real, dir)
					}
					before := tree(t, real, dir)
					fs := &hookFS{FS: real}
					fs.hooks(refuse, nil)
					h, err := AcquireToRead(fs, dir)
					if err != nil {
						t.Fatal(err)
					}
					checkTree(t, before, tree(t, real, dir))
					if made, err := Exists(real, real.PathJoin(dir, lockFile)); err != nil || made != lock {
						t.Errorf("LOCK is there: %v, %v", made, err)
					}
					if h.info != nil || h.lock != nil {
						if _, err := Acquire(real, dir); !errors.Is(err, ErrHeld) {
							t.Errorf("a second hold: %v", err)
						}
					}
					if err := h.Release(); err != nil {
						t.Fatal(err)
					}
					checkTree(t, before, tree(t, real, dir))
					held, err := Acquire(real, dir)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := AcquireToRead(fs, dir); held.info != nil && !errors.Is(err, ErrHeld) || held.info == nil && h.lock != nil && !errors.Is(err, ErrHeld) {
						t.Errorf("a hold to read beside a holder: %v", err)
					}
					if err := held.Release(); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// checkFreeOn is checkFree on any file system.
func checkFreeOn(t *testing.T, fs vfs.FS, dir string) {
	t.Helper()
	h, err := Acquire(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
}

// On a full disk a LOCK that is missing cannot be made. The directory can be held all the same, where the system can lock
// gabion.json; elsewhere it is not held without a lock.
func TestHoldOnAFullDisk(t *testing.T) {
	onBoth(t, func(t *testing.T, real vfs.FS, dir string) {
		if err := WriteInfo(real, dir, "id"); err != nil {
			t.Fatal(err)
		}
		fs := &hookFS{FS: real}
		fs.hooks(func(o fileOp) error {
			if o.kind == "lock" || o.kind == "create" || o.kind == "write" {
				return &os.PathError{Op: o.kind, Path: o.path, Err: syscall.ENOSPC}
			}
			return nil
		}, nil)
		h, err := Acquire(fs, dir)
		if err != nil {
			if !errors.Is(err, syscall.ENOSPC) || runtime.GOOS == "linux" && vfs.Root(real) == vfs.Default {
				t.Errorf("hold of a full disk: %v", err)
			}
			return
		}
		if h.info == nil {
			t.Fatal("held without a lock")
		}
		_, err = Acquire(real, dir)
		if !errors.Is(err, ErrHeld) {
			t.Errorf("a second hold: %v", err)
		}
		if err := h.Release(); err != nil {
			t.Fatal(err)
		}
		checkFreeOn(t, real, dir)
	})
}
