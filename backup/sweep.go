package backup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// list returns the sorted names in dir; a missing dir has none.
func list(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	slices.Sort(names)
	return names, nil
}

// tableDirs returns the names of all tables that have a directory here, sorted.
func (d *Directory) tableDirs() ([]string, error) {
	names, err := list(d.fs, d.path)
	if err != nil {
		return nil, err
	}
	var tables []string
	for _, name := range names {
		if messages.CheckTableName(name) != nil {
			continue
		}
		info, err := d.fs.Stat(d.fs.PathJoin(d.path, name))
		if err != nil {
			return nil, fmt.Errorf("stat %s: %w", d.fs.PathJoin(d.path, name), err)
		}
		if info.IsDir() {
			tables = append(tables, name)
		}
	}
	return tables, nil
}

// sweep removes what crashed runs left, of all tables and among the sets. Called by Open, under the
// lock, before anything is published: all that is pending is unfinished. What cannot be removed, or looked at,
// stays, with a warning: it counts as no backup, and must not keep the tables from opening.
func (d *Directory) sweep() {
	tables, err := d.tableDirs()
	if err != nil {
		d.log.Warn("sweep backups", "error", err)
	}
	for _, table := range tables {
		d.sweepDir(d.fs.PathJoin(d.path, table), isPending)
	}
	d.sweepDir(d.fs.PathJoin(d.path, setsDir), func(name string) bool {
		return strings.HasSuffix(name, setSuffix+".aside")
	})
}

func isPending(name string) bool { return strings.HasPrefix(name, pendingPrefix) }

// sweepDir removes the entries of dir that match. A crash in between leaves some of them, for the
// next sweep.
func (d *Directory) sweepDir(dir string, match func(name string) bool) {
	if err := d.trySweepDir(dir, match); err != nil {
		d.log.Warn("sweep backups", "error", err)
	}
}

func (d *Directory) trySweepDir(dir string, match func(name string) bool) error {
	names, err := list(d.fs, dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !match(name) })
	if len(names) == 0 {
		return nil
	}
	// A process that died between a removal's rename and its fsync left a name that only the page
	// cache has. Were its files removed now, a power loss would bring the complete name back over none.
	if err := store.SyncDir(d.fs, dir); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		path := d.fs.PathJoin(dir, name)
		if err := d.sweepEntry(dir, name); err != nil {
			errs = append(errs, err)
			continue
		}
		d.log.Info("swept unfinished backup", "path", path)
	}
	return errors.Join(append(errs, store.SyncDir(d.fs, dir))...)
}

// sweepEntry removes one entry, and the backup that it disowns.
func (d *Directory) sweepEntry(dir, name string) error {
	if id, ok := strings.CutPrefix(name, removingPrefix); ok {
		if _, ok := parseID(id); ok {
			return removeHidden(d.fs, dir, id)
		}
	}
	path := d.fs.PathJoin(dir, name)
	if err := d.fs.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}
