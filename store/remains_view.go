package store

import (
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

// view is a file system that hides some files, cuts some to a length, and shows others in place of those that are there.
// Writes pass through.
type view struct {
	vfs.FS
	lengths map[string]int64
	hidden  map[string]bool
	// others are files of the memory, by their paths.
	others map[string]string
	memory *vfs.MemFS
}

func newView(fs vfs.FS) *view {
	return &view{FS: fs, lengths: make(map[string]int64), hidden: make(map[string]bool), others: make(map[string]string), memory: vfs.NewMem()}
}

func (v *view) Unwrap() vfs.FS { return v.FS }

// cut shows a file up to a length.
func (v *view) cut(path string, length int64) { v.lengths[path] = length }

func (v *view) hide(path string) { v.hidden[path] = true }

func (v *view) List(dir string) ([]string, error) {
	names, err := v.FS.List(dir)
	names = slices.DeleteFunc(names, func(name string) bool { return v.hidden[v.PathJoin(dir, name)] })
	for path := range v.others {
		if v.PathDir(path) == dir && !slices.Contains(names, v.PathBase(path)) {
			names = append(names, v.PathBase(path))
		}
	}
	return names, err
}

func (v *view) Stat(path string) (vfs.FileInfo, error) {
	if other, ok := v.others[path]; ok {
		return v.memory.Stat(other)
	}
	if v.hidden[path] {
		return nil, refusedAs("stat", path, os.ErrNotExist)
	}
	info, err := v.FS.Stat(path)
	if length, ok := v.lengths[path]; ok && err == nil {
		return cutInfo{info, min(length, info.Size())}, nil
	}
	return info, err
}

func (v *view) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	if other, ok := v.others[path]; ok {
		return v.memory.Open(other, opts...)
	}
	if v.hidden[path] {
		return nil, refusedAs("open", path, os.ErrNotExist)
	}
	f, err := v.FS.Open(path, opts...)
	if length, ok := v.lengths[path]; ok && err == nil {
		return &cutFile{File: f, length: length}, nil
	}
	return f, err
}

func refusedAs(op, path string, err error) error { return &os.PathError{Op: op, Path: path, Err: err} }

type cutInfo struct {
	vfs.FileInfo
	size int64
}

func (i cutInfo) Size() int64 { return i.size }

// cutFile is a file that ends early. What is behind its end is never read.
type cutFile struct {
	vfs.File
	length, offset int64
}

func (f *cutFile) Read(p []byte) (int, error) {
	if f.offset >= f.length {
		return 0, io.EOF
	}
	n, err := f.File.Read(p[:min(int64(len(p)), f.length-f.offset)])
	f.offset += int64(n)
	return n, err
}

func (f *cutFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= f.length {
		return 0, io.EOF
	}
	short := int64(len(p)) > f.length-offset
	n, err := f.File.ReadAt(p[:min(int64(len(p)), f.length-offset)], offset)
	if short && err == nil {
		err = io.EOF
	}
	return n, err
}

func (f *cutFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return cutInfo{info, min(f.length, info.Size())}, nil
}

// hideOptions hides the OPTIONS that are damaged: Pebble does without.
func (r *Remains) hideOptions() error {
	names, err := r.view.List(r.path)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := r.fs.PathJoin(r.path, name)
		if !strings.HasPrefix(name, "OPTIONS-") {
			continue
		}
		if _, err := disk.ReadFile(r.view, path, optionsLimit); err != nil && !isBadFile(err) {
			return err
		} else if err != nil || badOptions(r.view, path) {
			r.view.hide(path)
			r.damaged("%s: it is not what Pebble wrote", name)
		}
	}
	return nil
}
