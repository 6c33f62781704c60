package disk

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Kind is what a name in a directory stands for.
type Kind int

const (
	// Foreign is a name that Gabion does not make.
	Foreign Kind = iota
	// File is the name of a file.
	File
	// Dir is the name of a directory that is removed like the one that it lies in.
	Dir
)

// RemoveKnown removes the directory at path with what Gabion makes in it: known gets the path of each entry from there, its
// elements, and says what it stands for. What is foreign stays, with the directories that it lies in, and is returned. A
// link is removed, and nothing that it leads to. A path that is missing is no error.
func RemoveKnown(fs vfs.FS, path string, known func(elements ...string) Kind) (foreign []string, err error) {
	r := &removal{fs: fs, known: known}
	if err := r.look(path, nil); err != nil {
		return nil, fmt.Errorf("look into %s: %w", path, err)
	}
	if len(r.foreign) > 0 {
		return r.foreign, r.remove(path, nil)
	}
	return nil, fs.RemoveAll(path)
}

type removal struct {
	fs      vfs.FS
	known   func(elements ...string) Kind
	foreign []string
}

// look gathers what is foreign in the directory at path, whose own elements are given.
func (r *removal) look(path string, elements []string) error {
	names, err := r.fs.List(path)
	switch {
	case errors.Is(err, os.ErrNotExist), len(elements) > 0 && errors.Is(err, ErrKind):
		return nil // it is a link, which goes without what it leads to
	case err != nil:
		if info, statErr := r.fs.Stat(path); statErr == nil && !info.IsDir() {
			return nil
		}
		return err
	}
	for _, name := range names {
		path, elements := r.fs.PathJoin(path, name), append(elements[:len(elements):len(elements)], name)
		switch r.known(elements...) {
		case Foreign:
			r.foreign = append(r.foreign, path)
		case Dir:
			if err := r.look(path, elements); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes what is known in the directory at path, and the directory where nothing is left in it.
func (r *removal) remove(path string, elements []string) error {
	names, err := r.fs.List(path)
	if err != nil {
		return err
	}
	left := false
	var errs []error
	for _, name := range names {
		path, elements := r.fs.PathJoin(path, name), append(elements[:len(elements):len(elements)], name)
		switch r.known(elements...) {
		case Foreign:
			left = true
		case File:
			errs = append(errs, r.fs.RemoveAll(path))
		case Dir:
			inner := &removal{fs: r.fs, known: r.known}
			if err := inner.look(path, elements); err != nil || len(inner.foreign) == 0 {
				errs = append(errs, err, r.fs.RemoveAll(path))
				continue
			}
			left = true
			errs = append(errs, r.remove(path, elements))
		}
	}
	if !left {
		errs = append(errs, r.fs.Remove(path))
	}
	return errors.Join(errs...)
}
