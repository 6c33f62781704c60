package backup

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Remains looks at what can be read of a backup that is red: see store.Examine. Files that its manifest does not name count for
// nothing, and so does what is behind the end that it gives a file.
func (d *Directory) Remains(b Backup, progress func() error) (*store.Remains, error) {
	sizes := make(map[string]int64)
	for _, entry := range b.Manifest.GetFiles() {
		sizes[entry.GetName()] = entry.GetSize()
	}
	left, err := store.Examine(d.fs, d.fs.PathJoin(b.Path, dbDir), store.ReadOnlyOptions{Table: b.Table, Logger: d.log, Sizes: sizes}, true, progress)
	if err != nil {
		return nil, fmt.Errorf("look at backup %s of table %q: %w", b.ID, b.Table, err)
	}
	left.Reach(b.Manifest.GetRecord().GetPosition().GetSeq())
	return left, nil
}

// CopyRemains makes a database of what is left of a lineage or of a red backup, in the directory to, which must be
// empty. It copies the files up to their damage, or, where blocks are damaged, the rows. What is proven is read again:
// position, count, bytes and fingerprint of the copy must be the record's. Each file is fsynced. An error that matches
// messages.ErrDataLoss says that the files are not any more what was examined.
//
// It needs no backup directory. logger receives what Pebble logs; nil means no logs.
func CopyRemains(ctx context.Context, files vfs.FS, logger *slog.Logger, r *store.Remains, to string, o VerifyOptions) error {
	d := &Directory{fs: files, log: cmp.Or(logger, slog.New(slog.DiscardHandler))}
	fs, from := r.View()
	own := Backup{Table: r.Record.GetTable(), Manifest: &messages.Manifest{Table: r.Record.GetTable(), Record: r.Record}}
	v := d.newVerification(own, o)
	var err error
	if len(r.Holes) > 0 {
		err = r.Rebuild(d.fs, to, func(bytes int64) error {
			v.progress(bytes)
			return ctx.Err()
		})
	} else {
		err = v.copyAll(ctx, fs, from, to)
	}
	if err == nil && r.Proven {
		err = v.database(ctx, to)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// copyAll copies every file that fs shows in from.
func (v *verification) copyAll(ctx context.Context, fs vfs.FS, from, to string) error {
	names, err := list(fs, from)
	if err != nil {
		return err
	}
	for _, c := range v.copiers {
		c.fs = fs
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == pebbleLock })
	return store.Parallel(len(v.copiers), len(names), func(worker, i int) error {
		return v.copiers[worker].copyAsIs(ctx, fs.PathJoin(from, names[i]), fs.PathJoin(to, names[i]))
	})
}

// Mend fills the holes of a table's remains with the rows of a backup of it, the newest that does: see store.Remains.Mend. It
// returns the backup's name, "" where none does, and what releases the backup, to be called when the remains are copied.
func (d *Directory) Mend(r *store.Remains, progress func() error) (id string, release func(), err error) {
	if r.Proven || len(r.Holes) == 0 {
		return "", func() {}, nil
	}
	backups, err := d.List(r.Record.GetTable())
	if err != nil {
		return "", nil, fmt.Errorf("look for a backup to mend with: %w", err)
	}
	for _, b := range backups {
		if b.OtherCopy || b.mayRestore(false) != nil {
			continue
		}
		free := d.Use(b.Table, b.ID)
		s, err := store.OpenReadOnly(d.fs, d.fs.PathJoin(b.Path, dbDir), store.ReadOnlyOptions{Table: b.Table, Logger: d.log})
		if err != nil {
			free()
			d.log.Info("backup does not mend a damaged table", "backup_id", b.ID, "error", err)
			continue
		}
		mended, err := r.Mend(s, progress)
		if mended {
			return b.ID, func() {
				if err := s.Close(); err != nil {
					d.log.Warn("close backup", "backup_id", b.ID, "error", err)
				}
				free()
			}, nil
		}
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
		free()
		if stopped := progress(); stopped != nil {
			return "", nil, stopped
		}
		if err != nil {
			d.log.Info("backup does not mend a damaged table", "backup_id", b.ID, "error", err)
		}
	}
	return "", func() {}, nil
}
