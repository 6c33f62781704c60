package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// Retain decides which of a table's backups stay, and removes the others, oldest first. It returns the decisions with
// their outcomes, newest first, also when a removal failed. The errors of the removals are joined, and what could not be
// removed is decided again the next time. It also sweeps what failed publishes left.
//
// Nothing is removed and nothing decided when the backups cannot be listed, when the policy has a fault
// (messages.ErrInvalid), or while a backup of the table is being published (ErrBusy).
func (d *Directory) Retain(table string, policy Policy, now time.Time) ([]*messages.RetentionDecision, error) {
	decisions, err := d.retain(table, policy, now, nil)
	if err != nil {
		err = fmt.Errorf("retain backups of table %q: %w", table, err)
	}
	return decisions, err
}

// Pruned is what Prune did, or Foresee foresees.
type Pruned struct {
	// Decisions are on every backup, newest first.
	Decisions []*messages.RetentionDecision
	// Freed is the size of the files whose last link in a backup of the table went. A link that somebody else made
	// is not known.
	Freed int64
}

// Prune is Retain that counts what the removals gave back. It ends with ctx between two of them, and calls progress, unless
// nil, for each file that is looked at and each backup that is removed.
func (d *Directory) Prune(ctx context.Context, table string, policy Policy, now time.Time, progress func()) (Pruned, error) {
	space := newLedger(ctx, d, progress)
	decisions, err := d.retain(table, policy, now, space)
	if err != nil {
		err = fmt.Errorf("prune backups of table %q: %w", table, err)
	}
	return Pruned{Decisions: decisions, Freed: space.freed}, err
}

func (d *Directory) retain(name string, policy Policy, now time.Time, space *ledger) ([]*messages.RetentionDecision, error) {
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

	backups, decided, err := d.decide(t, policy, now)
	if err != nil {
		return nil, err
	}
	if err := space.enter(backups, decided); err != nil {
		return nil, err
	}
	dir := d.fs.PathJoin(d.path, name)
	d.sweepDir(dir, isPending)
	var errs []error
	faults := make([]error, len(decided))
	for i := range slices.Backward(decided) {
		if decided[i].Keep {
			continue
		}
		if err := space.ended(); err != nil {
			faults[i] = fmt.Errorf("not removed: %w", err)
			if len(errs) == 0 || !errors.Is(errs[len(errs)-1], err) {
				errs = append(errs, err)
			}
			continue
		}
		if faults[i] = d.remove(t, dir, &decided[i]); faults[i] != nil {
			errs = append(errs, faults[i])
		} else if !decided[i].Keep {
			space.remove(backups[i])
		}
	}
	if err := d.sweepProofs(name); err != nil {
		d.log.Warn("sweep proofs", "table", name, "error", err)
	}
	rows := decisionRows(name, decided, messages.RetentionOutcome_RETENTION_OUTCOME_REMOVED)
	for i, fault := range faults {
		if fault != nil {
			rows[i].Outcome, rows[i].Fault = messages.RetentionOutcome_RETENTION_OUTCOME_FAILED, messages.Text(fault.Error())
		}
	}
	return rows, errors.Join(errs...)
}

// Foresee returns what Prune would decide and give back now, and changes nothing. It waits for a Retain, but not
// for a Publish.
func (d *Directory) Foresee(ctx context.Context, table string, policy Policy, now time.Time, progress func()) (Pruned, error) {
	space := newLedger(ctx, d, progress)
	decisions, err := d.foresee(table, policy, now, space)
	if err != nil {
		err = fmt.Errorf("foresee retention of table %q: %w", table, err)
	}
	return Pruned{Decisions: decisions, Freed: space.freed}, err
}

func (d *Directory) foresee(name string, policy Policy, now time.Time, space *ledger) ([]*messages.RetentionDecision, error) {
	if err := messages.CheckTableName(name); err != nil {
		return nil, err
	}
	t := d.table(name)
	t.turn <- struct{}{} // a backup that is half removed would be listed as faulty
	defer t.endRetain()
	backups, decided, err := d.decide(t, policy, now)
	if err != nil {
		return nil, err
	}
	if err := space.enter(backups, decided); err != nil {
		return nil, err
	}
	for i := range decided {
		if !decided[i].Keep {
			space.remove(backups[i])
		}
	}
	return decisionRows(name, decided, messages.RetentionOutcome_RETENTION_OUTCOME_FORESEEN), nil
}

// Judge decides on a table's backups as List returned them, and changes nothing.
func (d *Directory) Judge(backups []Backup, policy Policy, now time.Time) ([]Decision, error) {
	if len(backups) == 0 {
		return nil, policy.Check()
	}
	t := d.table(backups[0].Table)
	candidates := make([]Candidate, len(backups))
	for i, b := range backups {
		candidates[i] = t.candidate(b)
	}
	return Decide(candidates, policy, now)
}

// decide lists the backups, and decides on each in the order of the list.
func (d *Directory) decide(t *table, policy Policy, now time.Time) ([]Backup, []Decision, error) {
	backups, err := d.List(t.name)
	if err != nil {
		return nil, nil, err
	}
	decided, err := d.Judge(backups, policy, now)
	return backups, decided, err
}

// decisionRows makes the rows of a report. goes is the outcome of the backups that do not stay.
func decisionRows(table string, decided []Decision, goes messages.RetentionOutcome) []*messages.RetentionDecision {
	rows := make([]*messages.RetentionDecision, len(decided))
	for i, decision := range decided {
		rows[i] = &messages.RetentionDecision{
			Table: table, BackupId: decision.ID, Keep: decision.Keep, Reasons: decision.Reasons, Outcome: goes,
		}
		if decision.Keep {
			rows[i].Outcome = messages.RetentionOutcome_RETENTION_OUTCOME_KEPT
		}
	}
	return rows
}

func (t *table) candidate(b Backup) Candidate {
	return Candidate{
		ID:      b.ID,
		Number:  b.Number,
		Lineage: b.Lineage(),
		CopyID:  b.Manifest.GetCopyId(), OtherCopy: b.OtherCopy,
		Started: b.Manifest.GetStarted().AsTime(),
		Faulty:  b.Fault != nil,
		Red:     b.Red,
		Proven:  b.Proven(),
		Unread:  b.Red && b.Proof.GetVerdict() != messages.Verdict_VERDICT_RED,
		Pinned:  b.Pinned != "",
		InUse:   t.used(b.ID),
	}
}

// remove removes one backup, unless somebody began to read it since it was decided on.
func (d *Directory) remove(t *table, dir string, decision *Decision) error {
	t.mu.Lock()
	if t.using[decision.ID] > 0 {
		t.mu.Unlock()
		decision.Keep, decision.Reasons = true, []string{"being read"}
		return nil
	}
	err := hideBackup(d.fs, dir, decision.ID)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = d.removeHidden(dir, decision.ID)
	return err
}
