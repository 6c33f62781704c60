package backup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// mostDirs is how many backup directories DIR remembers.
	mostDirs = 16
	// mostPath is how many bytes of a path it remembers.
	mostPath = 512
)

// BeginRun makes sure that the backups are those of this copy of DIR, before a run makes anything, and leaves a new token in
// both directories, by which a copy of DIR learns that it is one. The error is that of Whose, unless adopt, which makes
// the backup directory that of this copy: the backups that lie there count as another copy's from then on.
//
// Where the tokens cannot be replaced, unmarked says why, and the run may go on: until the next one that can, a copy of DIR
// that runs here may not be told from it.
func (d *Directory) BeginRun(runID string, adopt bool) (unmarked, err error) {
	if d.memory == nil {
		return nil, nil
	}
	if err := d.begin(); err != nil {
		return nil, err
	}
	defer d.end()
	d.exchange.Lock()
	defer d.exchange.Unlock()
	s := d.look()
	adopts := s.refused != nil
	if adopts && !(adopt && errors.Is(s.refused, messages.ErrNotAdopted)) {
		return nil, s.refused
	}
	next := s.successor(d.path, adopts)
	unmarked, err = d.trade(s, next, runID)
	switch {
	case err == nil && unmarked == nil:
		return nil, nil
	case adopts && err != nil:
		return nil, fmt.Errorf("adopt backup directory %s: %w", d.path, err)
	}
	return fmt.Errorf("what tells copies of the directory apart is not up to date: %w", errors.Join(err, unmarked)), nil
}

// successor is what DIR is to know of the backup directory once a run has begun there.
func (s *standing) successor(path string, adopts bool) *messages.BackedUp {
	// The token that was found in BACKUPDIR stays one of the two: an earlier run may have been cut off before DIR had it alone.
	next := &messages.BackedUp{Token: s.last.GetToken(), CopyId: s.mine.GetCopyId(), Next: rand.Text(),
		DirectoryId: s.last.GetDirectoryId(), Path: messages.Text(path[:min(len(path), mostPath)]), Used: timestamppb.Now()}
	if adopts {
		// A new id, so that DIR still knows the backup directory of which this one is a clone, or an older state.
		next.Token, next.DirectoryId = "", ""
	}
	for _, one := range s.dirs.GetDirs() {
		if next.DirectoryId == "" && one.GetToken() == "" && one.GetPath() == next.GetPath() {
			next.DirectoryId = one.GetDirectoryId() // a crash came before its first run
		}
	}
	if next.DirectoryId == "" {
		next.DirectoryId = ulid.Make().String()
	}
	if adopts {
		next.CopyId = ulid.Make().String()
	}
	return next
}

// trade replaces the token in both directories. DIR knows the next one before it can be found in BACKUPDIR, and the old one
// until after that, so that a crash between any two steps leaves one that it knows. err means that nothing was adopted;
// unmarked that DIR still holds both.
func (d *Directory) trade(s *standing, next *messages.BackedUp, runID string) (unmarked, err error) {
	dirs := remember(s.dirs, next)
	if err := d.memory.WriteBackupDirs(dirs); err != nil {
		return nil, err
	}
	last := &messages.LastRun{FormatVersion: store.FormatVersion, DirectoryId: next.GetDirectoryId(), Token: next.GetNext(),
		CopyId: next.GetCopyId(), RunId: runID, Started: next.GetUsed()}
	if err := writeLastRun(d.fs, d.path, last); err != nil {
		return nil, err
	}
	next = proto.CloneOf(next)
	next.Token, next.Next = next.GetNext(), ""
	d.found.Store(&standing{last: last, dirs: dirs, mine: next})
	return d.memory.WriteBackupDirs(remember(s.dirs, next)), nil
}

// remember returns the list with one at its head, in the place of what it said of that backup directory.
func remember(dirs *messages.BackupDirs, one *messages.BackedUp) *messages.BackupDirs {
	others := slices.DeleteFunc(slices.Clone(dirs.GetDirs()), func(other *messages.BackedUp) bool {
		return other.GetDirectoryId() == one.GetDirectoryId()
	})
	all := append([]*messages.BackedUp{one}, others...)
	return &messages.BackupDirs{Dirs: all[:min(len(all), mostDirs)]}
}
