package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// loans are the files of open tables that cuts use in place of hard links, where the file system makes none. A cut
// names the table's own file, and that file stays until the cut is copied, whatever Pebble removes meanwhile.
//
// They belong to the directory and not to a store: a store that closes and opens again removes obsolete files. They are
// in memory alone. A crash leaves the files that Pebble no longer needs, and its next open removes them. The zero value
// has none.
type loans struct {
	mu sync.Mutex
	// cuts are the files lent to each cut: of the cut's directory, by name in the cut.
	cuts map[string]map[string]string
	// lent counts the cuts that use a path.
	lent map[string]int
	// removed are the lent paths that Pebble has removed since, with the directory that holds each.
	removed map[string]*Place
	// closed lends nothing and removes nothing any more: the directory may be another process's by now.
	closed bool
	// always is set where a link may be a copy.
	always atomic.Bool
}

// lend lends the file at path to a cut, which has it under the given name.
func (l *loans) lend(cut, name, path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cuts == nil {
		l.cuts, l.lent, l.removed = map[string]map[string]string{}, map[string]int{}, map[string]*Place{}
	}
	if l.cuts[cut] == nil {
		l.cuts[cut] = map[string]string{}
	}
	l.cuts[cut][name] = path
	l.lent[path]++
}

// lends tells whether a cut has a file on loan already.
func (l *loans) lends(cut string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cuts[cut]) > 0
}

// keeps tells whether path is lent, and then notes that it is to be removed from its directory when it is given back.
func (l *loans) keeps(path string, in *Place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lent[path] == 0 {
		return false
	}
	l.removed[path] = in
	return true
}

// made notes that path names a new file, to which no earlier removal applies.
func (l *loans) made(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.removed, path)
}

// giveBack ends the loans of the cuts at or below path, and removes from fs what waited for that.
func (l *loans) giveBack(fs vfs.FS, path string) error {
	var errs []error
	for file, place := range l.end(fs, path) {
		// Pebble called for this once a MANIFEST without the file was durable, so it is no part of any later state. In
		// another directory at that path, such as an older copy, it may be. No lock is held: a disk that hangs here must
		// hold up no cut.
		if err := place.Check(); err != nil {
			errs = append(errs, err)
		} else if err := fs.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove %s: %w", file, err))
		}
	}
	return errors.Join(errs...)
}

// end forgets the loans of the cuts at or below path, and returns the files that are to be removed now.
func (l *loans) end(fs vfs.FS, path string) (remove map[string]*Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	remove = map[string]*Place{}
	for cut, files := range l.cuts {
		if !atOrBelow(fs, cut, path) {
			continue
		}
		delete(l.cuts, cut)
		for _, file := range files {
			if l.lent[file]--; l.lent[file] > 0 {
				continue
			}
			delete(l.lent, file)
			if place, ok := l.removed[file]; ok && !l.closed {
				remove[file] = place
			}
			delete(l.removed, file)
		}
	}
	return remove
}

func atOrBelow(fs vfs.FS, path, dir string) bool {
	for path != dir {
		parent := fs.PathDir(path)
		if parent == path {
			return false
		}
		path = parent
	}
	return true
}

func (l *loans) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// Lent returns the table's own files that belong to the cut in staging, by their names in the cut. A cut that was made
// by hard links has none. They must not be changed, and stay until GiveBack.
func (d *Directory) Lent(staging string) map[string]string {
	d.loans.mu.Lock()
	defer d.loans.mu.Unlock()
	return maps.Clone(d.loans.cuts[staging])
}

// AvoidLinks has cuts use the tables' own files from now on, also where a link could be made. On overlayfs a link may
// copy the whole file, while commits wait.
func (d *Directory) AvoidLinks() { d.loans.always.Store(true) }

// GiveBack ends the use of the files that were lent to the cuts at or below path, such as one cut's staging or a run's. What
// Pebble has removed since is removed then; what cannot be is removed when the table is next opened.
func (d *Directory) GiveBack(path string) {
	if err := d.loans.giveBack(d.fs, path); err != nil {
		d.logger.Warn("files that a cut used are still there: the next open of the table removes them", "path", path, "error", err)
	}
}
