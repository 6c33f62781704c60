package backup

import (
	"context"
	"fmt"

	"github.com/gabiondb/gabion/store"
)

// Space is what one backup takes on its disk, in bytes of its db directory.
type Space struct {
	// Own is what its removal alone gives back.
	Own int64
	// Shared is the size of its files that other backups hold too.
	Shared int64
}

// Space returns what each of a table's backups, as List returned them, takes on its disk. It looks at every file, and
// ends with ctx. A backup that is gone meanwhile takes nothing.
func (d *Directory) Space(ctx context.Context, backups []Backup) ([]Space, error) {
	l := newLedger(ctx, d, nil)
	if err := l.add(backups); err != nil {
		return nil, fmt.Errorf("measure backups: %w", err)
	}
	spaces := make([]Space, len(backups))
	for i, b := range backups {
		for _, f := range l.files[b.ID] {
			if l.holders[f.key] > 1 {
				spaces[i].Shared += f.size
			} else {
				spaces[i].Own += f.size
			}
		}
	}
	return spaces, nil
}

// ledger knows which files the backups of one table hold, and how many backups hold each: what a link shares is told
// by its identity on disk, as a manifest cannot tell a link from a copy of the same file. A nil ledger does nothing.
type ledger struct {
	d        *Directory
	ctx      context.Context
	progress func()
	files    map[string][]heldFile // by backup id
	holders  map[string]int        // by key
	freed    int64
}

func newLedger(ctx context.Context, d *Directory, progress func()) *ledger {
	if progress == nil {
		progress = func() {}
	}
	return &ledger{d: d, ctx: ctx, progress: progress}
}

// ended returns why no more is to be done, nil before.
func (l *ledger) ended() error {
	if l == nil || l.ctx.Err() == nil {
		return nil
	}
	return context.Cause(l.ctx)
}

type heldFile struct {
	key  string
	size int64
}

// enter takes note of all files, when anything is to be removed.
func (l *ledger) enter(backups []Backup, decided []Decision) error {
	if l == nil {
		return nil
	}
	for _, decision := range decided {
		if !decision.Keep {
			return l.add(backups)
		}
	}
	return nil
}

func (l *ledger) add(backups []Backup) error {
	l.files, l.holders = map[string][]heldFile{}, map[string]int{}
	for _, b := range backups {
		dir := l.d.fs.PathJoin(b.Path, dbDir)
		names, err := list(l.d.fs, dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := l.ended(); err != nil {
				return err
			}
			l.progress()
			f, err := l.d.held(l.d.fs.PathJoin(dir, name))
			if err != nil {
				return err
			}
			l.files[b.ID] = append(l.files[b.ID], f)
			l.holders[f.key]++
		}
	}
	return nil
}

// held identifies one file of a backup. Where the file system knows no identity, nothing was ever linked.
func (d *Directory) held(path string) (heldFile, error) {
	info, err := d.fs.Stat(path)
	if err != nil {
		return heldFile{}, fmt.Errorf("stat %s: %w", path, err)
	}
	identity, err := store.Identify(d.fs, path)
	if err != nil {
		return heldFile{}, fmt.Errorf("identify %s: %w", path, err)
	}
	if identity == nil {
		return heldFile{key: path, size: info.Size()}, nil
	}
	return heldFile{key: fmt.Sprintf("%s %d", identity.GetDevice(), identity.GetInode()), size: info.Size()}, nil
}

// remove counts what the removal of a backup gave back.
func (l *ledger) remove(b Backup) {
	if l == nil {
		return
	}
	l.progress()
	for _, f := range l.files[b.ID] {
		if l.holders[f.key]--; l.holders[f.key] == 0 {
			l.freed += f.size
		}
	}
}
