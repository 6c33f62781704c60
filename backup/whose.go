package backup

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Memory is what DIR remembers of the backup directories that it was backed up to. *store.Directory is one.
type Memory interface {
	// ReadBackupDirs returns what was written last, without any entry where nothing was.
	ReadBackupDirs() (*messages.BackupDirs, error)
	// WriteBackupDirs is durable when it returns without an error.
	WriteBackupDirs(*messages.BackupDirs) error
	// TakenOver is what the backup directory said when DIR was made for its backups, nil where DIR was made otherwise.
	TakenOver() *messages.LastRun
	// LastSuccess is when all of DIR was backed up last, as far as it remembers, nil where it does not.
	LastSuccess() *timestamppb.Timestamp
}

// standing says whose the backups are: a position alone does not, as a copy of DIR goes on with the same ones.
type standing struct {
	last *messages.LastRun    // of BACKUPDIR; nil where it says nothing
	dirs *messages.BackupDirs // of DIR
	mine *messages.BackedUp   // what DIR knows of this backup directory; nil where it knows nothing
	// refused says why the backups do not count as those of this copy of DIR, nil where they do.
	refused error
	// all: there is no DIR to tell.
	all bool
	// unknown: refused, because one of the files cannot be read.
	unknown bool
}

// owns tells whether this copy of DIR made a backup.
func (s *standing) owns(b Backup) bool {
	return s.all || s.refused == nil && (b.Manifest == nil || b.Manifest.GetCopyId() == s.mine.GetCopyId())
}

// OwnSets returns those of the sets that this copy of DIR made.
func (d *Directory) OwnSets(sets []*messages.BackupSet) (own []*messages.BackupSet) {
	s := d.standing()
	for _, set := range sets {
		if s.all || s.refused == nil && set.GetCopyId() == s.mine.GetCopyId() {
			own = append(own, set)
		}
	}
	return own
}

// Whose returns an error that matches messages.ErrNotAdopted where the backups are not known to be those of this copy of DIR:
// of another copy, or none at all though there were some, or nobody can tell. It reads both directories.
func (d *Directory) Whose() error {
	d.exchange.Lock()
	defer d.exchange.Unlock()
	return d.look().refused
}

// standing is what look found last, where that could be told.
func (d *Directory) standing() *standing {
	if s := d.found.Load(); s != nil && !s.unknown {
		return s
	}
	d.exchange.Lock()
	defer d.exchange.Unlock()
	return d.look()
}

// CopyID tells the backups of this copy of DIR from those of its other copies. It is empty until one of them adopts the
// backup directory.
func (d *Directory) CopyID() string { return d.standing().mine.GetCopyId() }

// look reads who used the backup directory last, and what DIR knows of it. The caller holds exchange.
func (d *Directory) look() *standing {
	s := &standing{all: d.memory == nil}
	defer func() { d.found.Store(s) }()
	if s.all {
		return s
	}
	var lastErr, dirsErr error
	s.last, lastErr = readLastRun(d.fs, d.path)
	s.dirs, dirsErr = d.memory.ReadBackupDirs()
	if err := errors.Join(dirsErr, lastErr); err != nil {
		s.unknown, s.refused = true, d.untold(err)
		return s
	}
	s.judge(d.path, d.memory.TakenOver())
	if s.refused == nil && s.mine == nil {
		s.refused = d.vanished()
	}
	return s
}

// vanished is why a DIR from before there were tokens must not begin anew: it was backed up, and no backup is here.
func (d *Directory) vanished() error {
	at := d.memory.LastSuccess()
	if at == nil {
		return nil
	}
	if tables, err := d.Tables(); err != nil || len(tables) > 0 { // what cannot be listed fails the run in other ways
		return nil
	}
	return gone(d.path, &messages.BackedUp{Used: at})
}

// judge decides whose the backups are. taken is Memory.TakenOver.
func (s *standing) judge(path string, taken *messages.LastRun) {
	newest := s.newest(taken)
	switch {
	case s.last == nil && newest == nil:
		return // no run has been told of the other directory: both are new, or from before there were tokens
	case s.last == nil:
		s.refused = gone(path, newest)
		return
	}
	for _, one := range s.dirs.GetDirs() {
		if one.GetDirectoryId() == s.last.GetDirectoryId() {
			s.mine = one
		}
	}
	if s.mine == nil && taken.GetDirectoryId() == s.last.GetDirectoryId() {
		s.mine = &messages.BackedUp{DirectoryId: taken.GetDirectoryId(), Token: taken.GetToken(), CopyId: taken.GetCopyId()}
	}
	if token := s.last.GetToken(); token != s.mine.GetToken() && token != s.mine.GetNext() {
		s.refused = notMine(path, s.last)
	}
}

// newest is the backup directory in which a run of DIR began last; nil without one.
func (s *standing) newest(taken *messages.LastRun) *messages.BackedUp {
	for _, one := range s.dirs.GetDirs() {
		if one.GetToken() != "" { // without, a crash came before its first run
			return one
		}
	}
	if taken == nil {
		return nil
	}
	return &messages.BackedUp{Used: taken.GetStarted()}
}

func refusal(hint, format string, args ...any) *messages.Failure {
	f := messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, format, args...).Advise(hint)
	f.NotAdopted = true
	return f
}

func notMine(path string, last *messages.LastRun) error {
	return refusal("give this copy a backup directory of its own, and begin there with gabion backup --adopt; or make it the copy that goes on here with the same command",
		"backup directory %s: these backups are of another copy of this directory, or an older state of them: their last run %s of %s is not the last that was made from here",
		path, last.GetRunId(), last.GetStarted().AsTime().Format(time.RFC3339))
}

func gone(path string, newest *messages.BackedUp) error {
	where := ""
	switch newest.GetPath() {
	case "": // nobody has written it down
	case path:
		where = " there"
	default:
		where = " to " + newest.GetPath()
	}
	return refusal("mount that directory, put it back, or name it; or begin anew here: gabion backup --adopt",
		"backup directory %s does not have the backups of this directory, which was backed up%s last, at %s",
		path, where, newest.GetUsed().AsTime().Format(time.RFC3339))
}

// untold is why it cannot be told whose the backups are. Only a format of a newer version cannot be replaced by adopting.
func (d *Directory) untold(err error) error {
	err = fmt.Errorf("backup directory %s: it cannot be told whose the backups are: %w", d.path, err)
	if errors.Is(err, store.ErrNewer) {
		return err
	}
	if store.Unreadable(err) { // the disk may give it later: nothing is given up for that
		return messages.WithHint(err, "look at the disk, and the log of the system")
	}
	return refusal("put the file right; or make this copy the one that goes on here: gabion backup --adopt", "%s", err.Error())
}
