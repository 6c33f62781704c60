package store

import (
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFault is what an injected fault returns, unless a test chose another error.
var errFault = errors.New("injected fault")

// fileOp is one call of a file system: a change, or one of "open", "list", "stat", "opendir".
type fileOp struct {
	kind     string
	path     string
	category vfs.DiskWriteCategory
}

func (o fileOp) base() string { return path.Base(o.path) }

// changes tells whether the call can change the disk.
func (o fileOp) changes() bool {
	switch o.kind {
	case "open", "list", "stat", "filestat", "opendir", "read", "close":
		return false
	}
	return true
}

// isWAL and isManifest tell Pebble's vital files.
func (o fileOp) isWAL() bool      { return strings.HasSuffix(o.path, ".log") }
func (o fileOp) isManifest() bool { return strings.HasPrefix(o.base(), "MANIFEST") }

// hookFS calls before each operation, which may fail it, and after each one that succeeded, on the goroutine
// that operates. Unlike errorfs it wraps what ReuseForWrite returns, and tells write categories.
type hookFS struct {
	vfs.FS
	mu     sync.Mutex
	before func(fileOp) error
	after  func(fileOp)
	// alone, if set, is called after each call that succeeded, before any other call can begin.
	alone func(fileOp)
	// guard is held for reading by each call, so that a clone need not run beside one: MemFS deadlocks on a clone beside Link.
	guard sync.RWMutex
}

func (h *hookFS) Unwrap() vfs.FS { return h.FS }

// hooks replaces the hooks; a nil one does nothing.
func (h *hookFS) hooks(before func(fileOp) error, after func(fileOp)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before, h.after = before, after
}

// each sets what is called alone after each call; nil sets nothing.
func (h *hookFS) each(alone func(fileOp)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alone = alone
}

func (h *hookFS) do(o fileOp, work func() error) error {
	h.mu.Lock()
	before, after, alone := h.before, h.after, h.alone
	h.mu.Unlock()
	if before != nil {
		if err := before(o); err != nil {
			return err
		}
	}
	var err error
	if alone != nil {
		h.guard.Lock()
		if err = work(); err == nil {
			alone(o)
		}
		h.guard.Unlock()
	} else {
		h.guard.RLock()
		err = work()
		h.guard.RUnlock()
	}
	if err == nil && after != nil {
		after(o)
	}
	return err
}

func (h *hookFS) file(o fileOp, open func() (vfs.File, error)) (f vfs.File, err error) {
	err = h.do(o, func() error {
		f, err = open()
		return err
	})
	if err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, err
	}
	if f == nil {
		return nil, errors.New("no file")
	}
	return &hookFile{File: f, fs: h, path: o.path}, nil
}

func (h *hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.file(fileOp{"create", name, c}, func() (vfs.File, error) { return h.FS.Create(name, c) })
}

// ReuseForWrite takes two steps: the memory file system locks twice for its own, and hangs where a crash waits in between.
func (h *hookFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.file(fileOp{"reuse", to, c}, func() (vfs.File, error) {
		if err := h.FS.Rename(from, to); err != nil {
			return nil, err
		}
		return h.FS.OpenReadWrite(to, c)
	})
}

func (h *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return h.file(fileOp{"openrw", name, c}, func() (vfs.File, error) { return h.FS.OpenReadWrite(name, c, opts...) })
}

func (h *hookFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return h.file(fileOp{kind: "open", path: name}, func() (vfs.File, error) { return h.FS.Open(name, opts...) })
}

func (h *hookFS) OpenDir(name string) (vfs.File, error) {
	return h.file(fileOp{kind: "opendir", path: name}, func() (vfs.File, error) { return h.FS.OpenDir(name) })
}

func (h *hookFS) Link(from, to string) error {
	return h.do(fileOp{kind: "link", path: to}, func() error { return h.FS.Link(from, to) })
}

func (h *hookFS) Rename(from, to string) error {
	return h.do(fileOp{kind: "rename", path: to}, func() error { return h.FS.Rename(from, to) })
}

func (h *hookFS) Remove(name string) error {
	return h.do(fileOp{kind: "remove", path: name}, func() error { return h.FS.Remove(name) })
}

func (h *hookFS) RemoveAll(name string) error {
	return h.do(fileOp{kind: "removeall", path: name}, func() error { return h.FS.RemoveAll(name) })
}

func (h *hookFS) MkdirAll(name string, perm os.FileMode) error {
	return h.do(fileOp{kind: "mkdir", path: name}, func() error { return h.FS.MkdirAll(name, perm) })
}

func (h *hookFS) Lock(name string) (c io.Closer, err error) {
	err = h.do(fileOp{kind: "lock", path: name}, func() error {
		c, err = h.FS.Lock(name)
		return err
	})
	return c, err
}

func (h *hookFS) List(dir string) (names []string, err error) {
	err = h.do(fileOp{kind: "list", path: dir}, func() error {
		names, err = h.FS.List(dir)
		return err
	})
	return names, err
}

func (h *hookFS) Stat(name string) (info vfs.FileInfo, err error) {
	err = h.do(fileOp{kind: "stat", path: name}, func() error {
		info, err = h.FS.Stat(name)
		return err
	})
	return info, err
}

type hookFile struct {
	vfs.File
	fs   *hookFS
	path string
}

func (f *hookFile) do(kind string, work func() error) error {
	return f.fs.do(fileOp{kind: kind, path: f.path}, work)
}

func (f *hookFile) Write(p []byte) (n int, err error) {
	err = f.do("write", func() error { n, err = f.File.Write(p); return err })
	return n, err
}

func (f *hookFile) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.do("write", func() error { n, err = f.File.WriteAt(p, offset); return err })
	return n, err
}

func (f *hookFile) Read(p []byte) (n int, err error) {
	err = f.do("read", func() error { n, err = f.File.Read(p); return err })
	return n, err
}

func (f *hookFile) Preallocate(offset, length int64) error {
	return f.do("preallocate", func() error { return f.File.Preallocate(offset, length) })
}

// Close closes the file even where a hook fails it.
func (f *hookFile) Close() error {
	closed := false
	err := f.do("close", func() error { closed = true; return f.File.Close() })
	if !closed {
		_ = f.File.Close()
	}
	return err
}

func (f *hookFile) Sync() error     { return f.do("sync", f.File.Sync) }
func (f *hookFile) SyncData() error { return f.do("sync", f.File.SyncData) }

func (f *hookFile) SyncTo(length int64) (full bool, err error) {
	err = f.do("sync", func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}

func (f *hookFile) Stat() (info vfs.FileInfo, err error) {
	err = f.do("filestat", func() error { info, err = f.File.Stat(); return err })
	return info, err
}

// failNth returns a hook that fails the nth operation, from 0, that matches, and whether it did.
func failNth(n int, err error, matches func(fileOp) bool) (before func(fileOp) error, fired func() bool) {
	var seen atomic.Int64
	before = func(o fileOp) error {
		if matches(o) && seen.Add(1) == int64(n)+1 {
			return err
		}
		return nil
	}
	return before, func() bool { return seen.Load() > int64(n) }
}
