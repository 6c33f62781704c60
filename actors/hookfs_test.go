package actors_test

import (
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fileOp is one call of a file system.
type fileOp struct {
	kind string // create, reuse, open, opendir, read, write, sync, link, rename, remove, removeall, mkdir, lock, list, stat
	path string
}

// walSync matches the fsync of a table's WAL.
func walSync(table string) func(fileOp) bool {
	return func(o fileOp) bool {
		return o.kind == "sync" && strings.HasPrefix(o.path, dir+"/tables/"+table+"/") && strings.HasSuffix(o.path, ".log")
	}
}

// under matches the given kinds of calls on what lies under a directory, and on the directory.
func under(root string, kinds ...string) func(fileOp) bool {
	return func(o fileOp) bool {
		if o.path != root && !strings.HasPrefix(o.path, root+"/") {
			return false
		}
		for _, kind := range kinds {
			if o.kind == kind {
				return true
			}
		}
		return false
	}
}

// hookFS lets a test fail, delay or hang the calls of a file system. Hooks run before the call, on the goroutine
// that makes it.
type hookFS struct {
	usage atomic.Pointer[func(path string) (vfs.DiskUsage, error)]
	vfs.FS
	mu    sync.Mutex
	hooks []*hook
}

var _ vfs.FS = (*hookFS)(nil)

type hook struct {
	match func(fileOp) bool
	do    func(fileOp) error
}

// on calls do before every call that matches, until remove; an error fails the call.
func (h *hookFS) on(match func(fileOp) bool, do func(fileOp) error) (remove func()) {
	added := &hook{match, do}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hooks = append(h.hooks, added)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for i, have := range h.hooks {
			if have == added {
				h.hooks = append(h.hooks[:i:i], h.hooks[i+1:]...)
				return
			}
		}
	}
}

// fail fails every call that matches, until remove.
func (h *hookFS) fail(match func(fileOp) bool) (remove func()) {
	return h.on(match, func(fileOp) error { return errInjected })
}

// hang holds up every call that matches, until open, which the end of the test calls too.
func (h *hookFS) hang(t *testing.T, match func(fileOp) bool) (open func()) {
	gate := make(chan struct{})
	remove := h.on(match, func(fileOp) error { <-gate; return nil })
	open = sync.OnceFunc(func() {
		remove()
		close(gate)
	})
	t.Cleanup(open)
	return open
}

func (h *hookFS) check(kind, path string) error {
	h.mu.Lock()
	hooks := h.hooks
	h.mu.Unlock()
	for _, hook := range hooks {
		if o := (fileOp{kind, path}); hook.match(o) {
			if err := hook.do(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *hookFS) file(kind, path string, open func() (vfs.File, error)) (vfs.File, error) {
	if err := h.check(kind, path); err != nil {
		return nil, err
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	return &hookFile{File: f, fs: h, path: path}, nil
}

func (h *hookFS) Unwrap() vfs.FS { return h.FS }

// GetDiskUsage says what usage does, where it is set.
func (h *hookFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if usage := h.usage.Load(); usage != nil {
		return (*usage)(path)
	}
	return h.FS.GetDiskUsage(path)
}

func (h *hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.file("create", name, func() (vfs.File, error) { return h.FS.Create(name, c) })
}

// ReuseForWrite takes two steps: the memory file system locks twice for its own, and hangs where a crash waits in between.
func (h *hookFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.file("reuse", to, func() (vfs.File, error) {
		if err := h.FS.Rename(from, to); err != nil {
			return nil, err
		}
		return h.FS.OpenReadWrite(to, c)
	})
}

func (h *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return h.file("create", name, func() (vfs.File, error) { return h.FS.OpenReadWrite(name, c, opts...) })
}

func (h *hookFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return h.file("open", name, func() (vfs.File, error) { return h.FS.Open(name, opts...) })
}

func (h *hookFS) OpenDir(name string) (vfs.File, error) {
	return h.file("opendir", name, func() (vfs.File, error) { return h.FS.OpenDir(name) })
}

func (h *hookFS) Link(from, to string) error {
	if err := h.check("link", to); err != nil {
		return err
	}
	return h.FS.Link(from, to)
}

func (h *hookFS) Rename(from, to string) error {
	if err := h.check("rename", to); err != nil {
		return err
	}
	return h.FS.Rename(from, to)
}

func (h *hookFS) Remove(name string) error {
	if err := h.check("remove", name); err != nil {
		return err
	}
	return h.FS.Remove(name)
}

func (h *hookFS) RemoveAll(name string) error {
	if err := h.check("removeall", name); err != nil {
		return err
	}
	return h.FS.RemoveAll(name)
}

func (h *hookFS) MkdirAll(name string, perm os.FileMode) error {
	if err := h.check("mkdir", name); err != nil {
		return err
	}
	return h.FS.MkdirAll(name, perm)
}

func (h *hookFS) Lock(name string) (io.Closer, error) {
	if err := h.check("lock", name); err != nil {
		return nil, err
	}
	return h.FS.Lock(name)
}

func (h *hookFS) List(name string) ([]string, error) {
	if err := h.check("list", name); err != nil {
		return nil, err
	}
	return h.FS.List(name)
}

func (h *hookFS) Stat(name string) (vfs.FileInfo, error) {
	if err := h.check("stat", name); err != nil {
		return nil, err
	}
	return h.FS.Stat(name)
}

type hookFile struct {
	vfs.File
	fs   *hookFS
	path string
}

func (f *hookFile) Read(p []byte) (int, error) {
	if err := f.fs.check("read", f.path); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *hookFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.fs.check("read", f.path); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, offset)
}

func (f *hookFile) Write(p []byte) (int, error) {
	if err := f.fs.check("write", f.path); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *hookFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.fs.check("write", f.path); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, offset)
}

func (f *hookFile) Sync() error {
	if err := f.fs.check("sync", f.path); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *hookFile) SyncData() error {
	if err := f.fs.check("sync", f.path); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *hookFile) SyncTo(length int64) (bool, error) {
	if err := f.fs.check("sync", f.path); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}
