package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// OpenedBackup reads one backup where it lies, without restoring it. Its methods may be called from any goroutine.
type OpenedBackup struct {
	reader *backup.Reader
	tree   *tree
}

// OpenBackup opens a backup of a table for reading, by its name or its number alone; with an empty id the newest that is not
// red. Retention keeps it until Close. What is damaged is met when it is read, as an error that matches
// messages.ErrDataLoss. A backup that is red is read only with red, as far as it can be.
func (g *Gabion) OpenBackup(ctx context.Context, table, id string, red bool) (*OpenedBackup, error) {
	t := g.tree
	reader, err := watchedBy(ctx, &t.reading, t.config.CopyTimeout, "open backup", func(ctx context.Context, _ func()) (*backup.Reader, error) {
		if id == "" {
			newest, _, err := t.backups.Choose(table, backup.Choice{})
			if err != nil {
				return nil, err
			}
			id = newest.ID
		}
		reader, err := t.backups.OpenBackup(table, id, red)
		if err == nil && ctx.Err() != nil { // nobody waits for it any more
			return nil, errors.Join(context.Cause(ctx), reader.Close())
		}
		return reader, err
	})
	if err != nil {
		return nil, messages.FailureOf(err).Of(table)
	}
	o := &OpenedBackup{reader: reader, tree: t}
	if !t.opened.add(o) {
		return nil, errors.Join(stoppedFailure(), reader.Close())
	}
	return o, nil
}

// ID is the backup's name.
func (o *OpenedBackup) ID() string { return o.reader.Backup.ID }

// Manifest is what the backup says of itself. It must not be changed.
func (o *OpenedBackup) Manifest() *messages.Manifest { return o.reader.Backup.Manifest }

// Get returns the value of key, or an error that matches messages.ErrNotFound. It waits for its disk.
func (o *OpenedBackup) Get(key []byte) ([]byte, error) {
	value, found, err := o.reader.Get(key)
	if err == nil && !found {
		err = messages.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get from backup %s of table %q: %w", o.ID(), o.reader.Backup.Table, err)
	}
	return value, nil
}

// Walk calls each for every entry of scan, whose limit is ignored; a nil scan is all of them. The slices are valid during the
// call. It ends at each's first error, which it returns, and when ctx ends.
func (o *OpenedBackup) Walk(ctx context.Context, scan *messages.Scan, each func(key, value []byte) error) error {
	snapshot, err := o.reader.Snapshot()
	if err != nil {
		return fmt.Errorf("walk: %w", err)
	}
	return errors.Join(pages(ctx, snapshot.Page, scan, 0, each), snapshot.Close())
}

// Page reads one page, as the message Scan of a table does.
func (o *OpenedBackup) Page(scan *messages.Scan) (*messages.Page, error) {
	snapshot, err := o.reader.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	page, err := snapshot.Page(scan)
	return page, errors.Join(err, snapshot.Close())
}

// Close ends the reading. Stop closes what is still open. A second call does nothing.
func (o *OpenedBackup) Close() error {
	o.tree.opened.remove(o)
	return o.reader.Close()
}

// openedBackups are those that somebody reads.
type openedBackups struct {
	mu      sync.Mutex
	open    map[*OpenedBackup]struct{}
	stopped bool
}

// add makes a backup one that Stop closes; false means that Stop has done so.
func (s *openedBackups) add(o *OpenedBackup) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	if s.open == nil {
		s.open = make(map[*OpenedBackup]struct{})
	}
	s.open[o] = struct{}{}
	return true
}

func (s *openedBackups) remove(o *OpenedBackup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, o)
}

// stop closes what is open, and waits for the reads that go on.
func (s *openedBackups) stop() {
	s.mu.Lock()
	s.stopped = true
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for o := range open {
		_ = o.reader.Close()
	}
}
