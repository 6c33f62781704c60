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
	// Dir is the name of a directory whose entries are known in the same way.
	Dir
)

// RemoveKnown removes the directory at path with what Gabion makes in it. known gets the path of each entry from there,
// as elements, and says what the name stands for. What is foreign stays, with the directories around it, and is
// returned. A directory by the name of a file is foreign too, unless it is empty. A link is removed, and nothing that it
// leads to. A path that is missing is no error.
func RemoveKnown(fs vfs.FS, path string, known func(elements ...string) Kind) (foreign []string, err error) {
	r := &removal{fs: fs, known: known}
	all, err := r.look(path, nil)
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", path, err)
	}
	if all {
		return nil, fs.RemoveAll(path)
	}
	var errs []error
	for _, path := range r.goes {
		errs = append(errs, fs.RemoveAll(path))
	}
	return r.foreign, errors.Join(errs...)
}

// removal is what was found in a directory that is to be removed.
type removal struct {
	fs    vfs.FS
	known func(elements ...string) Kind
	// goes are the paths with nothing foreign in them.
	goes, foreign []string
}

// look tells whether all of the directory at path may go. Otherwise it adds the entries that may, and what is foreign.
func (r *removal) look(path string, elements []string) (all bool, err error) {
	if IsLink(r.fs, path) {
		return true, nil
	}
	names, err := r.fs.List(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return true, nil
	case err != nil:
		if info, statErr := r.fs.Stat(path); statErr == nil && !info.IsDir() {
			return true, nil
		}
		return false, err
	}
	before := len(r.goes)
	all = true
	for _, name := range names {
		path, elements := r.fs.PathJoin(path, name), append(elements[:len(elements):len(elements)], name)
		goes, err := r.entry(path, elements)
		if err != nil {
			return false, err
		}
		if goes {
			r.goes = append(r.goes, path)
		}
		all = all && goes
	}
	if all {
		r.goes = r.goes[:before]
	}
	return all, nil
}

// entry tells whether one entry of a directory may go.
func (r *removal) entry(path string, elements []string) (goes bool, err error) {
	switch r.known(elements...) {
	case Dir:
		return r.look(path, elements)
	case File:
		if info, err := r.fs.Stat(path); err != nil || !info.IsDir() || IsLink(r.fs, path) {
			return true, nil
		}
		if names, err := r.fs.List(path); err != nil || len(names) == 0 {
			return err == nil, err
		}
	}
	r.foreign = append(r.foreign, path)
	return false, nil
}
