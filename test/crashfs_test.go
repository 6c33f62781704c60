package test

import (
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// crashFS is a memory file system that can be cloned as a crash would leave it, at any instant and from any
// goroutine, with a hook before every sync of a WAL and after every change.
type crashFS struct {
	vfs.FS
	mem *vfs.MemFS // nil where it is the real one, which cannot be cloned
	// guard keeps a clone from running beside a change: MemFS deadlocks on one beside Link.
	guard sync.RWMutex
	// beforeSync, if set, is called before a WAL sync makes anything durable.
	beforeSync func()
	// after, if set, is called after every change, on the goroutine that made it.
	after atomic.Pointer[func(op, path string)]
}

func newCrashFS() *crashFS {
	mem := vfs.NewCrashableMem()
	return &crashFS{FS: mem, mem: mem}
}

// clone is what a crash now would leave, with about percent of what was not synced.
func (f *crashFS) clone(percent int, rng *rand.Rand) *vfs.MemFS {
	f.guard.Lock()
	defer f.guard.Unlock()
	return f.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
}

// change does one change, then calls the hook.
func (f *crashFS) change(op, path string, do func() error) error {
	f.guard.RLock()
	err := do()
	f.guard.RUnlock()
	if after := f.after.Load(); after != nil {
		(*after)(op, path)
	}
	return err
}

func (f *crashFS) open(op, path string, do func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.change(op, path, func() error {
		file, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &crashFile{File: file, fs: f, path: path}, nil
}

func (f *crashFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("create", path, func() (vfs.File, error) { return f.FS.Create(path, c) })
}

func (f *crashFS) OpenReadWrite(path string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open("open", path, func() (vfs.File, error) { return f.FS.OpenReadWrite(path, c, o...) })
}

// ReuseForWrite takes two steps: the memory file system locks twice for its own, and hangs where a crash waits in between.
func (f *crashFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("reuse", to, func() (vfs.File, error) {
		if err := f.FS.Rename(from, to); err != nil {
			return nil, err
		}
		return f.FS.OpenReadWrite(to, c)
	})
}

func (f *crashFS) OpenDir(path string) (vfs.File, error) {
	file, err := f.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &crashFile{File: file, fs: f, path: path}, nil
}

func (f *crashFS) Link(from, to string) error {
	return f.change("link", to, func() error { return f.FS.Link(from, to) })
}

func (f *crashFS) Rename(from, to string) error {
	return f.change("rename", to, func() error { return f.FS.Rename(from, to) })
}

func (f *crashFS) Remove(path string) error {
	return f.change("remove", path, func() error { return f.FS.Remove(path) })
}

func (f *crashFS) RemoveAll(path string) error {
	return f.change("remove all", path, func() error { return f.FS.RemoveAll(path) })
}

func (f *crashFS) MkdirAll(path string, perm os.FileMode) error {
	return f.change("mkdir", path, func() error { return f.FS.MkdirAll(path, perm) })
}

func (f *crashFS) Lock(path string) (lock io.Closer, err error) {
	err = f.change("lock", path, func() error {
		lock, err = f.FS.Lock(path)
		return err
	})
	return lock, err
}

func (f *crashFS) Unwrap() vfs.FS { return f.FS }

// Identity implements store.Identifier: in memory, two paths name one file when they share the bytes, and one directory when
// they share the node.
func (f *crashFS) Identity(path string) (*messages.FileIdentity, error) {
	if f.mem == nil {
		return store.Identify(f.FS, path)
	}
	stat, err := f.Stat(path)
	if err != nil {
		return nil, err
	}
	if stat.IsDir() {
		dir, err := f.mem.OpenDir(path)
		if err != nil {
			return nil, err
		}
		node := reflect.ValueOf(dir).Elem().FieldByName("n").Pointer()
		return &messages.FileIdentity{Device: "memory", Inode: uint64(node)}, dir.Close()
	}
	data, err := f.mem.UnsafeGetFileDataBuffer(path)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return &messages.FileIdentity{Device: "memory", Inode: uint64(reflect.ValueOf(data).Pointer()),
		Size: stat.Size(), Mtime: stat.ModTime().UnixNano()}, nil
}

type crashFile struct {
	vfs.File
	fs   *crashFS
	path string
}

func (f *crashFile) Write(p []byte) (n int, err error) {
	err = f.fs.change("write", f.path, func() error {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

func (f *crashFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.fs.change("write", f.path, func() error {
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

func (f *crashFile) Sync() error {
	if f.fs.beforeSync != nil && strings.HasSuffix(f.path, ".log") {
		f.fs.beforeSync()
	}
	return f.fs.change("sync", f.path, f.File.Sync)
}

func (f *crashFile) SyncData() error { return f.Sync() }

func (f *crashFile) SyncTo(int64) (bool, error) { return true, f.Sync() }
