package backup

import (
	"errors"
	"fmt"
	"sync"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Reader reads one backup where it lies. Retention keeps the backup until Close. It has the store's Get and Snapshot, from any
// number of goroutines.
type Reader struct {
	*store.Store
	Backup Backup

	release func()
	once    sync.Once
	err     error
}

// OpenBackup opens a backup, by its name or its number alone, for reading, without restoring it and without a byte written.
// It proves nothing: what is damaged is met when it is read, as an error that matches messages.ErrDataLoss. A backup whose
// manifest must not be trusted, or that is red, is refused; a red one is read with red, as far as it can be.
func (d *Directory) OpenBackup(table, id string, red bool) (*Reader, error) {
	r, err := d.openBackup(table, id, red)
	if err != nil {
		return nil, fmt.Errorf("open backup %s of table %q: %w", id, table, err)
	}
	return r, nil
}

func (d *Directory) openBackup(table, id string, red bool) (*Reader, error) {
	found, err := d.Find(table, id)
	if err != nil {
		return nil, err
	}
	release := d.Use(table, found.ID)
	b, err := d.reread(found)
	if err == nil {
		err = b.mayRestore(red)
	}
	if err != nil {
		release()
		return nil, err
	}
	s, err := store.OpenReadOnly(d.fs, d.fs.PathJoin(b.Path, dbDir), store.ReadOnlyOptions{Table: table, Logger: d.log})
	if red && errors.Is(err, messages.ErrDataLoss) {
		s, err = d.openRemains(b, err)
	}
	if err != nil {
		release()
		return nil, messages.WithHint(err, "verify the backup; it may be damaged")
	}
	return &Reader{Store: s, Backup: b, release: release}, nil
}

// openRemains opens what can be read of a red backup. A backup is not opened where missing rows would look as if they
// had never been there: err is why.
func (d *Directory) openRemains(b Backup, err error) (*store.Store, error) {
	left, examineErr := d.Remains(b, nil)
	if examineErr != nil || len(left.Holes) > 0 {
		return nil, errors.Join(err, examineErr)
	}
	return left.Open()
}

// Close ends the reading; a second call does nothing, and returns what the first did.
func (r *Reader) Close() error {
	r.once.Do(func() {
		r.err = r.Store.Close()
		r.release()
	})
	return r.err
}
