package backup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/internal/disk"
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

// listOwn is list of a directory in BACKUPDIR. It returns an error where there is nothing because BACKUPDIR itself was
// moved, replaced or emptied: its backups are elsewhere, not gone.
func (d *Directory) listOwn(dir string) ([]string, error) {
	names, err := list(d.fs, dir)
	if err == nil && len(names) == 0 {
		err = d.CheckOwner()
	}
	return names, err
}

// tableDirs returns the names of all tables that have a directory here, sorted.
func (d *Directory) tableDirs() ([]string, error) {
	names, err := d.listOwn(d.path)
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
		runID, ok := strings.CutSuffix(name, setSuffix+asideSuffix)
		_, err := ulid.ParseStrict(runID)
		return ok && err == nil
	})
}

// isPending tells the names of a backup that is being made or removed.
func isPending(name string) bool {
	name, ok := strings.CutPrefix(name, pendingPrefix)
	_, isID := parseID(strings.TrimPrefix(name, strings.TrimPrefix(removingPrefix, pendingPrefix)))
	return ok && isID
}

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
		all, err := d.sweepEntry(dir, name)
		if err != nil {
			errs = append(errs, err)
		} else if all {
			d.log.Info("swept unfinished backup", "path", d.fs.PathJoin(dir, name))
		}
	}
	return errors.Join(append(errs, store.SyncDir(d.fs, dir))...)
}

// discard removes the directory at path with what Gabion makes in it, and returns whether all of it went. What is foreign is
// kept, and warned about once.
func (d *Directory) discard(path string, known func(elements ...string) disk.Kind) (all bool, err error) {
	foreign, err := disk.RemoveKnown(d.fs, path, known)
	d.warnForeign(foreign)
	return len(foreign) == 0, err
}

// warnForeign logs each path among the backups that is not Gabion's, once.
func (d *Directory) warnForeign(paths []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, path := range paths {
		if !d.foreign[path] {
			d.foreign[path] = true
			d.log.Warn("this is none of Gabion's files, and is kept: move it elsewhere", "path", path)
		}
	}
}

// sweepEntry removes one entry, and the backup that it disowns. It returns whether nothing foreign is left of it.
func (d *Directory) sweepEntry(dir, name string) (all bool, err error) {
	if id, ok := strings.CutPrefix(name, removingPrefix); ok {
		return d.removeHidden(dir, id)
	}
	path := d.fs.PathJoin(dir, name)
	if all, err = d.discard(path, inBackup); err != nil {
		return false, fmt.Errorf("remove %s: %w", path, err)
	}
	return all, nil
}
