package ops

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// openAlone opens o.BackupDir without the tables that its backups are of: a copy of a backup directory, or what is left of
// a store whose tables are lost. A directory among the temporary files, without tables, stands in for theirs until Close.
func openAlone(ctx context.Context, o OpenOptions) (s *Session, err error) {
	check := func(dir string) error { return CheckUser(dir, o.DirMode) }
	if !o.Backups {
		check = CheckReader
	}
	if err := checkUsers(check, o.BackupDir); err != nil {
		return nil, err
	}
	id, last, err := whoseBackups(o.BackupDir)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "gabion-")
	if err != nil {
		return nil, messages.WithHint(fmt.Errorf("make a directory among the temporary files: %w", err), "set TMPDIR to a directory that you can write to")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.RealFS().RemoveAll(scratch))
		}
	}()
	d, err := store.OpenDirectory(store.DirectoryOptions{FS: store.RealFS(), Path: scratch, StoreID: id, TakenOver: last})
	if err != nil {
		return nil, err
	}
	if err := d.Close(); err != nil {
		return nil, err
	}
	if s, err = openInPlace(ctx, OpenOptions{Dir: scratch, BackupDir: o.BackupDir, DirMode: o.DirMode, Backups: o.Backups}); err != nil {
		if errors.Is(err, store.ErrHeld) {
			err = messages.WithHint(err, "name the directory of the tables with --dir: the server that holds these backups answers for them")
		}
		return nil, err
	}
	s.scratch = scratch
	return s, nil
}

// whoseBackups returns the id of the store of a backup directory, and its last run; nil where that cannot be read: the backups are
// nobody's then, and are read by their names. It gives up after DiskLimit.
func whoseBackups(dir string) (string, *messages.LastRun, error) {
	type answer struct {
		id   string
		last *messages.LastRun
	}
	a, err := within(DiskLimit, dir, func() (a answer, err error) {
		path, id, err := backupsAt(dir)
		if err == nil {
			a.id = id
			a.last, _ = backup.LastRunAt(store.RealFS(), path)
		}
		return a, err
	})
	return a.id, a.last, err
}

// backupsAt returns the real path of a backup directory, and the id of the store that it belongs to.
func backupsAt(dir string) (path, id string, err error) {
	fs := store.RealFS()
	if path, err = store.RealPath(fs, dir); err != nil {
		return "", "", err
	}
	if id, err = backup.StoreIDAt(fs, path); err != nil {
		return "", "", err
	}
	if id == "" {
		return "", "", messages.WithHint(fmt.Errorf("backup directory %s: %w", dir, messages.ErrNotFound), "name the directory that holds the backups")
	}
	return path, id, nil
}
