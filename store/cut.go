package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// Cut captures the table in a new directory dir, by hard links, and returns the record that labels it, the caller's own.
// Where no link can be made to dir, the cut consists of the files in dir and of the table's own sstables. Directory.Lent
// names these until Directory.GiveBack. So nothing is copied while commits wait. The committer calls it between two
// groups, after every Commit was waited for: Pebble copies the WAL as it stands. On an error nothing stays at dir, and
// nothing on loan.
func (s *Store) Cut(dir string) (*messages.TableRecord, error) {
	if s.fs == nil {
		return nil, errors.New("cut: store is read-only")
	}
	if !s.handle.enter() {
		return nil, ErrClosed
	}
	defer s.handle.leave()
	if s.Frozen() {
		return nil, fmt.Errorf("cut: %w: %w", ErrFrozen, s.FrozenBy())
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("cut: %w", err)
	}
	real := s.dir.fs
	// Another cut at dir is not this one's to remove.
	if exists, err := Exists(real, dir); err != nil {
		return nil, fmt.Errorf("cut: %w", err)
	} else if exists {
		return nil, fmt.Errorf("cut: %s: %w", dir, os.ErrExist)
	}
	if err := real.MkdirAll(real.PathDir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("cut: %w", err)
	}
	record := s.Record()
	err := s.checkpoint(dir)
	if s.Frozen() {
		// A frozen store's checkpoint may succeed, with nothing on the disk.
		err = errors.Join(fmt.Errorf("%w: %w", ErrFrozen, s.FrozenBy()), err)
	}
	if err == nil {
		err = complete(real, dir)
	}
	if err != nil {
		s.dir.GiveBack(dir)
		return nil, errors.Join(fmt.Errorf("cut: %w", err), s.dir.unmake(dir))
	}
	if s.dir.loans.lends(dir) && !s.lent.Swap(true) {
		s.logger.Info("no hard link can be made from the table to the staged cut: cuts use the table's own files until they are copied",
			"staging", dir)
	}
	return cloneRecord(record), nil
}

// checkpoint turns a panic into an error: Pebble answers a failed fsync of the new directory with one.
func (s *Store) checkpoint(dir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	return s.db.Checkpoint(dir)
}

// complete checks, on the file system itself, that dir holds what every checkpoint has.
func complete(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	if err := CheckCheckpoint(names); err != nil {
		return fmt.Errorf("check %s: %w", dir, err)
	}
	return nil
}

// CheckCheckpoint returns an error, which matches messages.ErrDataLoss, unless names has the files that every
// checkpoint has. One without its marker or its log opens as an empty or shorter table, without a word.
func CheckCheckpoint(names []string) error {
	for _, part := range []struct{ what, prefix, suffix string }{
		{"manifest", "MANIFEST-", ""},
		{"manifest marker", "marker.manifest.", ""},
		{"options", "OPTIONS-", ""},
		{"log", "", ".log"},
	} {
		if !slices.ContainsFunc(names, func(name string) bool {
			return strings.HasPrefix(name, part.prefix) && strings.HasSuffix(name, part.suffix)
		}) {
			return fmt.Errorf("the cut has no %s: %w", part.what, messages.ErrDataLoss)
		}
	}
	return nil
}
