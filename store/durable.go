package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

// asideSuffix ends the name of a file that is being written and does not count yet.
const asideSuffix = ".aside"

// WriteDurably makes path hold exactly data, whatever crash happens when. It writes beside the
// path, fsyncs, renames over it and fsyncs the directory. A crash before the rename leaves the
// old content and a file that ends in .aside; after it, the new content.
func WriteDurably(fs vfs.FS, path string, data []byte) error {
	aside := path + asideSuffix
	if err := WriteSynced(fs, aside, data); err != nil {
		return fmt.Errorf("write %s: %w", aside, err)
	}
	if err := fs.Rename(aside, path); err != nil {
		return fmt.Errorf("rename %s: %w", aside, err)
	}
	return SyncDir(fs, fs.PathDir(path))
}

// WriteSynced makes a new file at path hold data, fsynced. Its name is durable only after the directory's own
// fsync, and a crash before may leave part of it: for files in a directory that has no name yet.
func WriteSynced(fs vfs.FS, path string, data []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// The file system may scribble over the slice it is given.
	_, err = f.Write(append([]byte(nil), data...))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncDir makes the names in dir durable. A file system that has no fsync of directories makes them so when it chooses, and
// that is no error: health says so.
func SyncDir(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	err = f.Sync()
	if disk.NoDirSync(err) {
		err = nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// MkdirDurably makes dir, whose parent must exist, and its name durable. A dir that exists already
// is not an error.
func MkdirDurably(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	return SyncDir(fs, fs.PathDir(dir))
}

// Exists tells whether path names anything.
func Exists(fs vfs.FS, path string) (bool, error) {
	_, err := fs.Stat(path)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	}
	return false, fmt.Errorf("stat %s: %w", path, err)
}

// listIfExists lists dir; a missing dir has no entries.
func listIfExists(fs vfs.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return names, nil
}
