package store

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// unadvisedFS is a file system that carries out no advice: Preallocate, Prefetch and SyncTo fail with err.
type unadvisedFS struct {
	vfs.FS
	err                           error
	preallocated, synced, fetched atomic.Int64
}

func (d *unadvisedFS) Unwrap() vfs.FS { return d.FS }

func (d *unadvisedFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &unadvisedFile{f, d}, nil
}

func (d *unadvisedFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.Create(path, c))
}

func (d *unadvisedFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.ReuseForWrite(from, to, c))
}

func (d *unadvisedFS) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.wrap(d.FS.Open(path, opts...))
}

type unadvisedFile struct {
	vfs.File
	fs *unadvisedFS
}

func (f *unadvisedFile) Preallocate(int64, int64) error {
	f.fs.preallocated.Add(1)
	return f.fs.err
}

func (f *unadvisedFile) Prefetch(int64, int64) error {
	f.fs.fetched.Add(1)
	return f.fs.err
}

func (f *unadvisedFile) SyncTo(int64) (bool, error) {
	f.fs.synced.Add(1)
	return false, f.fs.err
}

// TestAdviceNeverFreezes runs on real files: Pebble gives no advice about others.
func TestAdviceNeverFreezes(t *testing.T) {
	for _, err := range []error{syscall.ENOTSUP, syscall.ENOSYS, syscall.EINTR, syscall.EINVAL} {
		t.Run(err.Error(), func(t *testing.T) {
			fs := &unadvisedFS{FS: RealFS(), err: err}
			path := mustRealPath(t, fs, t.TempDir())
			d, openErr := OpenDirectory(DirectoryOptions{FS: fs, Path: path, CacheBytes: 1 << 20})
			if openErr != nil {
				t.Fatal(openErr)
			}
			s := openTable(t, d)
			rng := random(t)
			for i := range 40 {
				value := make([]byte, 200<<10)
				for j := range value {
					value[j] = byte(rng.Uint32())
				}
				mustPut(t, s, fmt.Sprintf("%04d", i), string(value))
			}
			if err := s.Flush(); err != nil {
				t.Error(err)
			}
			if _, err := s.Cut(d.Staging("RUN", "t")); err != nil {
				t.Errorf("a cut: %v", err)
			}
			if s.Frozen() {
				t.Errorf("the store is frozen: %v", s.FrozenBy())
			}
			if fs.preallocated.Load() == 0 || fs.synced.Load() == 0 {
				t.Errorf("advice was given %d and %d times: that proves nothing", fs.preallocated.Load(), fs.synced.Load())
			}
			closeAll(t, s, d)
		})
	}
}

// TestFailedSyncIsNoAdvice: where a file system syncs no range, SyncTo is a whole fsync, whose error comes once.
func TestFailedSyncIsNoAdvice(t *testing.T) {
	for _, c := range []struct {
		err    error
		freeze bool
	}{{syscall.ENOTSUP, false}, {syscall.EINTR, false}, {syscall.EIO, true}, {syscall.ENOSPC, true}} {
		z := newFreezer(&unadvisedFS{FS: vfs.NewMem(), err: c.err}, "/", defaultFreezeAfter, nil)
		f, err := z.Create("/000001.log", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Preallocate(0, 1); err != nil {
			t.Errorf("preallocate: %v", err)
		}
		if err := f.Prefetch(0, 1); err != nil {
			t.Errorf("prefetch: %v", err)
		}
		if z.frozen.Load() {
			t.Errorf("%v of an advice froze the store", c.err)
		}
		if _, err := f.SyncTo(1); err != nil || z.frozen.Load() != c.freeze {
			t.Errorf("%v of a SyncTo: frozen %v, error %v", c.err, z.frozen.Load(), err)
		}
		if err := f.Close(); err != nil && !strings.Contains(err.Error(), c.err.Error()) {
			t.Error(err)
		}
	}
}
