package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// rows calls each with every row that can be read, in order, those of the mend among them.
func (r *Remains) rows(s *Store, each func(key, value []byte) error) error {
	lower := userStart
	for _, h := range r.Holes {
		if err := r.between(s, lower, earlier(h.lower, userEnd), each); err != nil {
			return err
		}
		if err := r.within(s, h, each); err != nil {
			return err
		}
		lower = later(lower, h.upper)
	}
	return r.between(s, lower, userEnd, each)
}

// between calls each with the rows in [lower, upper).
func (r *Remains) between(s *Store, lower, upper []byte, each func(key, value []byte) error) error {
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("read rows: %w", witness(err))
	}
	for valid := iter.First(); valid; valid = iter.Next() {
		value, err := iter.ValueAndErr()
		if err == nil {
			err = each(iter.Key()[1:], value)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("read rows: %w", witness(err)), iter.Close())
		}
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return fmt.Errorf("read rows: %w", witness(err))
	}
	return nil
}

// certainRow is a row in a hole, or a delete there, that is newer than all that the damaged file held.
type certainRow struct {
	key, value []byte
	deleted    bool
}

// within calls each with the rows of a hole: those that are newer than the damaged file, and those of the mend that
// nothing newer replaced.
func (r *Remains) within(s *Store, h Hole, each func(key, value []byte) error) error {
	lower, upper := later(h.lower, userStart), earlier(h.upper, userEnd)
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	own, removed, err := certain(s, lower, upper, h.newest)
	if err != nil {
		return fmt.Errorf("read rows of a damaged range: %w", witness(err))
	}
	next := 0
	emit := func(until []byte) error { // the own rows before a key, or all
		for ; next < len(own) && (until == nil || bytes.Compare(own[next].key, until) < 0); next++ {
			if !own[next].deleted {
				if err := each(own[next].key, own[next].value); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if r.mend != nil {
		err := r.mendRows(lower, upper, func(key, value []byte) error {
			if err := emit(key); err != nil {
				return err
			}
			replaced := next < len(own) && bytes.Equal(own[next].key, key)
			for _, span := range removed {
				replaced = replaced || span.covers(key)
			}
			if replaced {
				return nil
			}
			return each(key, value)
		})
		if err != nil {
			return err
		}
	}
	return emit(nil)
}

// mendRows calls each with the rows of the backup in [lower, upper).
func (r *Remains) mendRows(lower, upper []byte, each func(key, value []byte) error) error {
	return r.between(r.mend, lower, upper, each)
}

// certain returns what is newer than newest in [lower, upper): rows and deletes, and ranges of deletes.
func certain(s *Store, lower, upper []byte, newest uint64) (own []certainRow, removed []keyRange, err error) {
	err = s.db.ScanInternal(context.Background(), block.CategoryUnknown, lower, upper,
		func(key *pebble.InternalKey, value pebble.LazyValue, _ pebble.IteratorLevel) error {
			if uint64(key.SeqNum()) <= newest {
				return nil
			}
			row := certainRow{key: bytes.Clone(key.UserKey[1:])}
			switch key.Kind() {
			case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
				v, _, err := value.Value(nil)
				if err != nil {
					return err
				}
				row.value = bytes.Clone(v)
			default:
				row.deleted = true
			}
			own = append(own, row)
			return nil
		},
		func(start, end []byte, seq pebble.SeqNum) error {
			if uint64(seq) > newest {
				removed = append(removed, keyRange{start: bytes.Clone(start[1:]), end: bytes.Clone(end[1:])})
			}
			return nil
		}, nil, nil, nil)
	return own, removed, err
}

// count adds the rows up.
func (r *Remains) count(s *Store, progress func() error) (Sums, error) {
	var sums Sums
	var fingerprint Fingerprinter
	err := r.rows(s, func(key, value []byte) error {
		sums = sums.plus(Sums{Count: 1, LiveBytes: uint64(len(key) + len(value)), Fingerprint: fingerprint.Row(key, value)})
		if sums.Count%progressRows == 0 || len(value) > progressBytes {
			return progress()
		}
		return nil
	})
	return sums, err
}

// Mend fills the holes with the rows of a backup, if with them the rows are those which the record counted. So it is
// where only the WALs have changed the holes since that backup. The result is true then, and the remains are Proven; the
// backup must stay open until they are copied. The record of a table at_cut counts nothing, so that it is never mended.
func (r *Remains) Mend(backup *Store, progress func() error) (mended bool, err error) {
	if r.Proven || len(r.Holes) == 0 || r.unknown || isAtCut(r.Record) {
		return false, nil
	}
	s, err := r.open()
	if err != nil {
		return false, err
	}
	r.mend = backup
	sums, err := r.count(s, progress)
	if err := errors.Join(err, s.Close()); err != nil {
		r.mend = nil
		return false, fmt.Errorf("mend from a backup: %w", err)
	}
	if sums != sumsOf(r.Record) {
		r.mend = nil
		return false, nil
	}
	r.Sums, r.Proven = sums, true
	return true, nil
}

// Rebuild makes a database of the rows in the directory to, which must be empty, with the record and their sums. It is what is left
// where Holes is not empty. Each file is fsynced.
func (r *Remains) Rebuild(fs vfs.FS, to string, progress func(bytes int64) error) (err error) {
	s, err := r.open()
	if err != nil {
		return fmt.Errorf("rebuild table: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d := &Directory{fs: fs, logger: r.logger, shared: newShared(DirectoryOptions{CacheBytes: 8 << 20})}
	defer func() { err = errors.Join(err, d.shared.close()) }()
	frozen := newFreezer(fs, to, defaultFreezeAfter, nil)
	db, err := d.openPebble(to, frozen, frozen, r.logger, func(o *pebble.Options) { o.ErrorIfExists = true })
	if err == nil {
		err = errors.Join(r.fill(s, db, progress), closeDB(db))
	}
	if frozen.frozen.Load() {
		err = fmt.Errorf("%w: %w", ErrFrozen, frozen.why())
	}
	if err != nil {
		return fmt.Errorf("rebuild table: %w", err)
	}
	return nil
}

// rebuildBatch is how many bytes of rows a batch of a rebuild has, about.
const rebuildBatch = 512 << 10

func (r *Remains) fill(s *Store, db *pebble.DB, progress func(bytes int64) error) error {
	batch := db.NewBatch()
	size := 0
	commit := func() error {
		// Not with Sync: Pebble answers a failed fsync of that with Fatalf. The flush at the end makes all of it durable.
		if err := errors.Join(batch.Commit(pebble.NoSync), batch.Close()); err != nil {
			return err
		}
		err := progress(int64(size))
		batch, size = db.NewBatch(), 0
		return err
	}
	err := r.rows(s, func(key, value []byte) error {
		size += len(key) + len(value)
		if err := batch.Set(userKey(nil, key), value, nil); err != nil {
			return err
		}
		if size < rebuildBatch {
			return nil
		}
		return commit()
	})
	if err == nil {
		err = commit()
	}
	if err := errors.Join(err, batch.Close()); err != nil {
		return err
	}
	record := cloneRecord(r.Record)
	r.Sums.Label(record)
	if err := writeRecord(db, record); err != nil {
		return err
	}
	return db.Flush()
}

// View returns the directory of the files, and a file system that shows them as far as they can be read. Where there are
// no Holes they can be copied from there. What is written through it goes to where it went.
func (r *Remains) View() (fs vfs.FS, path string) { return r.view, r.path }
