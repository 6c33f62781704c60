package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// FileError says which file an error is about.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

// CheckBlocks reads every block of the table's sstables from the file system, past the block cache, and compares it with
// its checksum. The first that is damaged ends it, with a FileError that matches messages.ErrDataLoss. What only the memtable
// and the WAL hold is not looked at.
//
// Up to so many files are read at once; 0 is as 1, on the calling goroutine. progress, unless nil, is called with the bytes of each
// read, by one goroutine at a time; an error that it returns ends the check. It returns ErrClosed when the store is closed, or closes
// meanwhile. Commits, flushes and compactions go on.
func (s *Store) CheckBlocks(workers int, progress func(bytes int64) error) error {
	var telling sync.Mutex
	tell := func(bytes int64) error {
		telling.Lock()
		defer telling.Unlock()
		if progress == nil {
			return nil
		}
		return progress(bytes)
	}
	checked := make(map[string]bool)
	for {
		names, err := s.sstables()
		if err != nil {
			return fmt.Errorf("check blocks of table %q: %w", s.table, err)
		}
		// A compaction removes files that were listed and are not read yet; what it makes is read in the next round.
		names = slices.DeleteFunc(names, func(name string) bool {
			was := checked[name]
			checked[name] = true
			return was
		})
		if len(names) == 0 {
			return nil
		}
		if err := Parallel(workers, len(names), func(_, i int) error { return s.checkFile(names[i], tell) }); err != nil {
			return fmt.Errorf("check blocks of table %q: %w", s.table, err)
		}
	}
}

// sstables returns the names of the table's sstables.
func (s *Store) sstables() ([]string, error) {
	tables, err := s.listSSTables()
	var names []string
	for _, t := range tables {
		names = append(names, fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)))
	}
	return names, err
}

// listSSTables returns what Pebble tells of the table's sstables, level by level.
func (s *Store) listSSTables() ([]pebble.SSTableInfo, error) {
	if !s.handle.enter() {
		return nil, ErrClosed
	}
	defer s.handle.leave()
	levels, err := s.db.SSTables()
	if err != nil {
		return nil, fmt.Errorf("list sstables: %w", s.readError(err))
	}
	return slices.Concat(levels...), nil
}

// checkFile reads one sstable. One that a compaction has removed meanwhile is none of the table's any more.
func (s *Store) checkFile(name string, progress func(int64) error) error {
	if !s.handle.enter() {
		return ErrClosed
	}
	defer s.handle.leave()
	var stopped error
	watch := func(n int) error {
		select {
		case <-s.handle.stop:
			stopped = ErrClosed
		default:
			stopped = progress(int64(n))
		}
		return stopped
	}
	err := checkBlocks(s.dir.fs, s.dir.fs.PathJoin(s.path, name), watch)
	switch {
	case err == nil:
		return nil
	case stopped != nil:
		return stopped
	case errors.Is(err, os.ErrNotExist):
		names, listErr := s.sstables()
		if listErr != nil {
			return listErr
		}
		for _, live := range names {
			if live == name {
				return fmt.Errorf("%w: %w", err, messages.ErrDataLoss)
			}
		}
		return nil
	}
	return err
}

// checkBlocks compares every block of the sstable at path with its checksum. watch is asked after each read.
func checkBlocks(fs vfs.FS, path string, watch func(bytes int) error) (err error) {
	var f vfs.File
	defer func() {
		if r := recover(); r != nil { // what is damaged may mislead the reader
			err = errors.Join(fmt.Errorf("%w: %w", panicked(r), messages.ErrDataLoss), f.Close())
		}
		if err != nil {
			err = &FileError{Path: path, Err: err}
		}
	}()
	f, err = fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(watchedFile{f, watch})
	if err != nil {
		return errors.Join(err, f.Close())
	}
	options := (&shared{}).pebbleOptions() // without a cache
	options.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, options.MakeReaderOptions())
	if err != nil {
		return witness(err) // it has closed the file
	}
	err = r.ValidateBlockChecksums()
	return witness(errors.Join(err, r.Close()))
}

// watchedFile tells of each read.
type watchedFile struct {
	vfs.File
	watch func(bytes int) error
}

func (f watchedFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.File.ReadAt(p, offset)
	if err == nil {
		err = f.watch(n)
	}
	return n, err
}
