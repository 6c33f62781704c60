package backup

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Retain decides which of a table's backups stay, and removes the others, oldest first. It returns the
// decisions, newest first, also when a removal failed; the errors of the removals are joined, and what
// could not be removed is decided again the next time. It also sweeps what failed publishes left.
//
// Nothing is removed and nothing decided when the backups cannot be listed, when the policy keeps less
// than one (messages.ErrInvalid), or while a backup of the table is being published (ErrBusy).
func (d *Directory) Retain(table string, policy Policy, now time.Time) ([]*messages.RetentionDecision, error) {
	decisions, err := d.retain(table, policy, now)
	if err != nil {
		err = fmt.Errorf("retain backups of table %q: %w", table, err)
	}
	return decisions, err
}

func (d *Directory) retain(name string, policy Policy, now time.Time) ([]*messages.RetentionDecision, error) {
	if err := messages.CheckTableName(name); err != nil {
		return nil, err
	}
	if err := d.begin(); err != nil {
		return nil, err
	}
	defer d.end()
	t := d.table(name)
	if err := t.startRetain(); err != nil {
		return nil, err
	}
	defer t.endRetain()

	backups, err := d.List(name)
	if err != nil {
		return nil, err
	}
	candidates := make([]Candidate, len(backups))
	for i, b := range backups {
		candidates[i] = t.candidate(b)
	}
	decided, err := Decide(candidates, policy, now)
	if err != nil {
		return nil, err
	}
	dir := d.fs.PathJoin(d.path, name)
	d.sweepDir(dir, isPending)
	var errs []error
	for i := range slices.Backward(decided) {
		if decided[i].Keep {
			continue
		}
		if err := t.remove(d.fs, dir, &decided[i]); err != nil {
			errs = append(errs, err)
		}
	}
	if err := d.sweepProofs(name); err != nil {
		d.log.Warn("sweep proofs", "table", name, "error", err)
	}
	decisions := make([]*messages.RetentionDecision, len(decided))
	for i, decision := range decided {
		decisions[i] = &messages.RetentionDecision{
			Table: name, BackupId: decision.ID, Keep: decision.Keep, Reasons: decision.Reasons,
		}
	}
	return decisions, errors.Join(errs...)
}

func (t *table) candidate(b Backup) Candidate {
	return Candidate{
		ID:      b.ID,
		Number:  b.Number,
		Lineage: b.Lineage(),
		Started: b.Manifest.GetStarted().AsTime(),
		Faulty:  b.Fault != nil,
		Red:     b.Red,
		Proven:  b.Proven(),
		Pinned:  b.Pinned != "",
		InUse:   t.used(b.ID),
	}
}

// remove removes one backup, unless somebody began to read it since it was decided on.
func (t *table) remove(fs vfs.FS, dir string, decision *Decision) error {
	t.mu.Lock()
	if t.using[decision.ID] > 0 {
		t.mu.Unlock()
		decision.Keep, decision.Reasons = true, []string{"being read"}
		return nil
	}
	err := hideBackup(fs, dir, decision.ID)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return removeHidden(fs, dir, decision.ID)
}

// removeBackup removes a backup that nobody can be reading. The error of a missing one matches
// os.ErrNotExist.
func removeBackup(fs vfs.FS, dir, id string) error {
	if err := hideBackup(fs, dir, id); err != nil {
		return err
	}
	return removeHidden(fs, dir, id)
}

// hideBackup takes a backup's name away. A crash before the fsync leaves the complete backup or a
// pending name; after it, a pending name.
func hideBackup(fs vfs.FS, dir, id string) error {
	if err := fs.Rename(fs.PathJoin(dir, id), fs.PathJoin(dir, removingPrefix+id)); err != nil {
		return fmt.Errorf("rename backup %s: %w", id, err)
	}
	return store.SyncDir(fs, dir)
}

// removeHidden removes the files of a hidden backup. Its old name is durably gone: no crash can bring
// the name back over half of the files.
func removeHidden(fs vfs.FS, dir, id string) error {
	path := fs.PathJoin(dir, removingPrefix+id)
	if err := fs.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return store.SyncDir(fs, dir)
}
