package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Linker is what a vfs.FS implements when it can have symbolic links. One without it has none.
type Linker interface {
	// Lstat describes what path names itself: of a link, the link.
	Lstat(path string) (fs.FileInfo, error)
}

// linker returns what knows the links of fs, nil where there are none.
func linker(fs vfs.FS) Linker {
	for ; fs != nil; fs = fs.Unwrap() {
		if l, ok := fs.(Linker); ok {
			return l
		}
		if fs == vfs.Default {
			return lstat{}
		}
	}
	return nil
}

// lstat is the Linker of Pebble's own file system.
type lstat struct{}

func (lstat) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

// IsLink tells whether path is a symbolic link. What cannot be looked at is none.
func IsLink(fs vfs.FS, path string) bool {
	l := linker(fs)
	if l == nil {
		return false
	}
	info, err := l.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

// Within returns fs, with operations that reach through no symbolic link below root. A link in or on the way to a path
// is a KindError, and nothing is read, made or removed. root itself must be no link, as store.RealPath returns it. Paths
// outside of root are not looked at. mayLink, unless nil, says which links are meant, by their path from root.
// Operations go through these, and neither remove nor replace them. A file that is open costs nothing more.
func Within(fs vfs.FS, root string, mayLink func(path string) bool) vfs.FS {
	l := linker(fs)
	if l == nil {
		return fs
	}
	if mayLink == nil {
		mayLink = func(string) bool { return false }
	}
	return &within{FS: fs, links: l, root: fs.PathJoin(root), mayLink: mayLink, separator: fs.PathJoin("a", "b")[1:2]}
}

type within struct {
	vfs.FS
	links     Linker
	root      string
	mayLink   func(path string) bool
	separator string
}

func (w *within) Unwrap() vfs.FS { return w.FS }

// check returns a KindError for the first link on the way from the root to path, path included.
func (w *within) check(path string) error { return w.walk(path, w.mayLink) }

// replace is check of a path that is about to be removed or replaced.
func (w *within) replace(path string) error {
	return w.walk(path, func(step string) bool {
		return w.mayLink(step) && w.FS.PathJoin(w.root, step) != w.FS.PathJoin(path)
	})
}

func (w *within) walk(path string, mayLink func(string) bool) error {
	inside, ok := strings.CutPrefix(w.FS.PathJoin(path), strings.TrimSuffix(w.root, w.separator)+w.separator)
	if !ok {
		return nil
	}
	steps := strings.Split(inside, w.separator)
	for i := range steps {
		step := strings.Join(steps[:i+1], w.separator)
		at := w.FS.PathJoin(w.root, step)
		info, err := w.links.Lstat(at)
		if err != nil {
			return nil // the operation says why
		}
		if info.Mode()&fs.ModeSymlink != 0 && !mayLink(step) {
			want := "directory"
			if i == len(steps)-1 {
				want = "file or directory"
			}
			return &KindError{Path: at, Want: want, Found: foundLink}
		}
	}
	return nil
}

func (w *within) Create(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := w.replace(path); err != nil {
		return nil, err
	}
	return w.FS.Create(path, category)
}

func (w *within) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := w.check(path); err != nil {
		return nil, err
	}
	return w.FS.Open(path, opts...)
}

func (w *within) OpenReadWrite(path string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := w.check(path); err != nil {
		return nil, err
	}
	return w.FS.OpenReadWrite(path, category, opts...)
}

func (w *within) OpenDir(path string) (vfs.File, error) {
	if err := w.check(path); err != nil {
		return nil, err
	}
	return w.FS.OpenDir(path)
}

func (w *within) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := errors.Join(w.replace(from), w.replace(to)); err != nil {
		return nil, err
	}
	return w.FS.ReuseForWrite(from, to, category)
}

func (w *within) Link(from, to string) error {
	if err := errors.Join(w.check(from), w.check(to)); err != nil {
		return err
	}
	return w.FS.Link(from, to)
}

func (w *within) Rename(from, to string) error {
	if err := errors.Join(w.replace(from), w.replace(to)); err != nil {
		return err
	}
	return w.FS.Rename(from, to)
}

func (w *within) Remove(path string) error {
	if err := w.replace(path); err != nil {
		return err
	}
	return w.FS.Remove(path)
}

// RemoveAll removes the links in a directory, and nothing that they lead to.
func (w *within) RemoveAll(path string) error {
	if err := w.replace(path); err != nil {
		return err
	}
	return w.FS.RemoveAll(path)
}

func (w *within) MkdirAll(path string, mode fs.FileMode) error {
	if err := w.check(path); err != nil {
		return err
	}
	return w.FS.MkdirAll(path, mode)
}

func (w *within) Lock(path string) (io.Closer, error) {
	if err := w.check(path); err != nil {
		return nil, err
	}
	return w.FS.Lock(path)
}

func (w *within) List(path string) ([]string, error) {
	if err := w.check(path); err != nil {
		return nil, err
	}
	return w.FS.List(path)
}

func (w *within) Stat(path string) (vfs.FileInfo, error) {
	if err := w.check(path); err != nil {
		return nil, err
	}
	return w.FS.Stat(path)
}
