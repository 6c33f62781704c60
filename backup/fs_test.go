package backup_test

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"sync"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// hookFS is a file system that tells a test of every operation, and is as nasty as a real one may be:
// Write scribbles over its argument, List is unsorted, and RemoveAll goes file by file, each removal
// durable at once. It knows identities when its base is a MemFS.
type hookFS struct {
	vfs.FS
	mem *vfs.MemFS

	mu     sync.Mutex                  // guards the hooks, not their calls
	before func(op, path string) error // an error is injected instead of the operation
	after  func(op, path string)       // called on the operating goroutine, outside the operation
	blind  bool                        // Identity knows nothing
	lazy   bool                        // RemoveAll is durable with its directory's fsync alone
}

func newHookFS(mem *vfs.MemFS) *hookFS { return &hookFS{FS: mem, mem: mem} }

func (fs *hookFS) Unwrap() vfs.FS { return fs.FS }

// hook sets the hooks; nil removes one.
func (fs *hookFS) hook(before func(op, path string) error, after func(op, path string)) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.before, fs.after = before, after
}

func (fs *hookFS) around(op, path string, act func() error) error {
	fs.mu.Lock()
	before, after := fs.before, fs.after
	fs.mu.Unlock()
	if before != nil {
		if err := before(op, path); err != nil {
			return err
		}
	}
	err := act()
	if after != nil {
		after(op, path)
	}
	return err
}

// Identity implements store.Identifier: a MemFS node is told by where its bytes lie.
func (fs *hookFS) Identity(path string) (id *messages.FileIdentity, err error) {
	if fs.mem == nil {
		return store.Identify(fs.FS, path)
	}
	err = fs.around("identify", path, func() error {
		if fs.blind {
			return nil
		}
		info, err := fs.mem.Stat(path)
		if err != nil {
			return err
		}
		data, err := fs.mem.UnsafeGetFileDataBuffer(path)
		if err != nil {
			return err
		}
		id = &messages.FileIdentity{
			Device: "mem",
			Inode:  uint64(uintptr(unsafe.Pointer(unsafe.SliceData(data)))),
			Size:   info.Size(),
			Mtime:  info.ModTime().UnixNano(),
		}
		return nil
	})
	return id, err
}

func (fs *hookFS) file(op, name string, open func() (vfs.File, error)) (file vfs.File, err error) {
	err = fs.around(op, name, func() error {
		f, err := open()
		if err == nil {
			file = &hookFile{File: f, fs: fs, path: name}
		}
		return err
	})
	return file, err
}

func (fs *hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.file("create", name, func() (vfs.File, error) { return fs.FS.Create(name, c) })
}

func (fs *hookFS) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	return fs.file("open", name, func() (vfs.File, error) { return fs.FS.Open(name) })
}

func (fs *hookFS) OpenDir(name string) (vfs.File, error) {
	return fs.file("opendir", name, func() (vfs.File, error) { return fs.FS.OpenDir(name) })
}

func (fs *hookFS) Link(from, to string) error {
	return fs.around("link", from+" -> "+to, func() error { return fs.FS.Link(from, to) })
}

func (fs *hookFS) Rename(from, to string) error {
	return fs.around("rename", from+" -> "+to, func() error { return fs.FS.Rename(from, to) })
}

func (fs *hookFS) Remove(name string) error {
	return fs.around("remove", name, func() error { return fs.FS.Remove(name) })
}

func (fs *hookFS) MkdirAll(name string, perm os.FileMode) error {
	return fs.around("mkdir", name, func() error { return fs.FS.MkdirAll(name, perm) })
}

func (fs *hookFS) Stat(name string) (info vfs.FileInfo, err error) {
	err = fs.around("stat", name, func() (err error) {
		info, err = fs.FS.Stat(name)
		return err
	})
	return info, err
}

func (fs *hookFS) List(name string) (names []string, err error) {
	err = fs.around("list", name, func() (err error) {
		names, err = fs.FS.List(name)
		sort.Sort(sort.Reverse(sort.StringSlice(names)))
		return err
	})
	return names, err
}

func (fs *hookFS) RemoveAll(name string) error {
	return fs.around("removeall", name, func() error {
		if fs.lazy {
			return fs.FS.RemoveAll(name)
		}
		return fs.removeAll(name)
	})
}

func (fs *hookFS) removeAll(name string) error {
	info, err := fs.FS.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		names, err := fs.FS.List(name)
		if err != nil {
			return err
		}
		sort.Strings(names)
		for _, child := range names {
			if err := fs.removeAll(fs.PathJoin(name, child)); err != nil {
				return err
			}
		}
	}
	return fs.around("unlink", name, func() error {
		if err := fs.FS.Remove(name); err != nil {
			return err
		}
		return store.SyncDir(fs.FS, fs.PathDir(name))
	})
}

type hookFile struct {
	vfs.File
	fs   *hookFS
	path string
}

func (f *hookFile) Read(p []byte) (n int, err error) {
	err = f.fs.around("read", f.path, func() (err error) {
		n, err = f.File.Read(p)
		return err
	})
	return n, err
}

func (f *hookFile) ReadAt(p []byte, offset int64) (n int, err error) {
	err = f.fs.around("read", f.path, func() (err error) {
		n, err = f.File.ReadAt(p, offset)
		return err
	})
	return n, err
}

func (f *hookFile) Write(p []byte) (n int, err error) {
	err = f.fs.around("write", f.path, func() (err error) {
		n, err = f.File.Write(append([]byte(nil), p...))
		for i := range p {
			p[i] ^= 0xff
		}
		return err
	})
	return n, err
}

func (f *hookFile) Sync() error { return f.fs.around("sync", f.path, f.File.Sync) }

// mutates tells the operations that change the disk from those that read.
func mutates(op string) bool {
	switch op {
	case "create", "link", "rename", "remove", "unlink", "removeall", "mkdir", "write", "sync":
		return true
	}
	return false
}

// newDisk makes a memory file system with an empty, durable /data.
func newDisk(t testing.TB) *hookFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	must(t, mem.MkdirAll("/data", 0o755))
	must(t, store.SyncDir(mem, "/data"))
	must(t, store.SyncDir(mem, "/"))
	return newHookFS(mem)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error is %v, want one that matches %v", err, target)
	}
}

var errInjected = fmt.Errorf("injected")
