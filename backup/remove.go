package backup

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/store"
)

// removeBackup removes a backup that nobody can be reading. The error of a missing one matches
// os.ErrNotExist.
func (d *Directory) removeBackup(dir, id string) error {
	if err := hideBackup(d.fs, dir, id); err != nil {
		return err
	}
	_, err := d.removeHidden(dir, id)
	return err
}

// hideBackup takes a backup's name away. A crash before the fsync leaves the complete backup or a
// pending name; after it, a pending name.
func hideBackup(fs vfs.FS, dir, id string) error {
	err := fs.Rename(fs.PathJoin(dir, id), fs.PathJoin(dir, removingPrefix+id))
	if disk.NoRename(err) {
		return disownBackup(fs, dir, id)
	}
	if err != nil {
		return fmt.Errorf("rename backup %s: %w", id, err)
	}
	return store.SyncDir(fs, dir)
}

// disownBackup hides a backup whose directory the file system does not rename, such as one of a lower layer of
// overlayfs. An empty directory of the pending name beside it says that its name counts no more. A crash before the
// fsync leaves the complete backup, with or without the name beside it. After the fsync the backup counts for nothing
// and is swept.
func disownBackup(fs vfs.FS, dir, id string) error {
	return store.MkdirDurably(fs, fs.PathJoin(dir, removingPrefix+id))
}

// removeManifest durably removes the manifest of a backup that was disowned, before any other file of it. A version that
// does not look for the name beside it then finds a faulty backup, never a complete one.
func removeManifest(fs vfs.FS, dir, id string) error {
	path := fs.PathJoin(dir, id)
	if err := fs.Remove(fs.PathJoin(path, manifestFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove manifest of backup %s: %w", id, err)
	}
	return store.SyncDir(fs, path)
}

// removeHidden removes the files of a hidden backup. Its old name durably counts for nothing: no crash can bring
// the name back over half of the files. It returns whether nothing foreign is left, which keeps the name that hides it.
func (d *Directory) removeHidden(dir, id string) (all bool, err error) {
	path := d.fs.PathJoin(dir, id)
	disowned, err := store.Exists(d.fs, path)
	if err != nil {
		return false, err
	}
	if disowned {
		if err := removeManifest(d.fs, dir, id); err != nil {
			return false, err
		}
		if all, err := d.discard(path, inBackup); err != nil {
			return false, fmt.Errorf("remove %s: %w", path, err)
		} else if !all {
			return false, nil
		}
		// Before the name beside it goes, without which a rest that a crash brings back would count.
		if err := store.SyncDir(d.fs, dir); err != nil {
			return false, err
		}
	}
	hidden := d.fs.PathJoin(dir, removingPrefix+id)
	if all, err = d.discard(hidden, inBackup); err != nil {
		return false, fmt.Errorf("remove %s: %w", hidden, err)
	}
	return all, store.SyncDir(d.fs, dir)
}
