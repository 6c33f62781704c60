package actors

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// staleProofs is how many intervals of the drill old a proof is that is overdue, and staleRuns how many of the schedule a
// success.
const (
	staleProofs = 2
	staleRuns   = 2
)

// grade adds what its state and its backups say against a table, and sums its row up.
func (t *tree) grade(row *messages.TableHealth, known knownBackups, m *cell, c *concerns, now time.Time) {
	suspicion := m.suspected()
	if !suspicion.checked.IsZero() {
		row.LastCheck = timestamppb.New(suspicion.checked)
	}
	if suspicion.reason != "" {
		c.red("damaged: %s", suspicion.reason)
	}
	switch row.GetState() {
	case messages.TableState_TABLE_STATE_OPEN:
		if !row.Knows(messages.Figure_FIGURE_DISK) {
			c.yellow("%s", row.GetReason())
		}
	case messages.TableState_TABLE_STATE_QUARANTINED:
		c.red("quarantined: %s", row.GetReason())
	default:
		c.yellow("%s", stateName(row.GetState()))
	}
	backups := known.of[row.GetTable()]
	gradeBackups(row, backups, c, now)
	if known.faults[row.GetTable()] == nil && len(backups) == 0 {
		c.yellow("no backup yet")
		// Nobody has counted the rows of a table that is counted at its cuts.
		if !row.GetCountExact() && row.GetCount() == 0 && row.GetState() == messages.TableState_TABLE_STATE_OPEN {
			row.Unknown = merged(row.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_ROWS})
		}
	}
	up := time.Since(t.started)
	last, certain := row.GetLastSuccess(), row.Knows(messages.Figure_FIGURE_LAST_BACKUP)
	if certain {
		m.backedUp.Store(last)
	} else if last = m.backedUp.Load(); last == nil {
		last = t.scheduler.snapshot().GetLastSuccess()
	}
	if interval := t.scheduler.interval(); interval > 0 && overdue(last, staleRuns*interval, up, now) {
		row.BackupOverdue = true
		if certain {
			c.yellow("backup is overdue")
		} else {
			c.red("backup is overdue as far as is known, and the backups cannot be looked at")
		}
	}
	if t.drill != nil && len(backups) > 0 && overdue(row.GetLastProof(), staleProofs*t.config.DrillEvery, up, now) {
		row.ProofOverdue = true
		c.yellow("proof is overdue")
	}
	row.Grade, row.Concerns = c.sum()
}

// gradeBackups adds what is known against the backups of a table, newest first, and when one was last proven.
func gradeBackups(row *messages.TableHealth, backups []*messages.BackupInfo, c *concerns, now time.Time) {
	older, unknown := 0, false
	for i, b := range backups {
		proof := b.GetProof()
		if b.GetFault() != "" || proof.GetVerdict() == messages.Verdict_VERDICT_RED {
			row.RedBackups++
			switch {
			case i > 0:
				older++
			case len(b.GetUnknown()) > 0:
				c.red("newest backup %s is red: %s", b.GetBackupId(), b.GetFault())
			default:
				c.red("newest backup %s is red", b.GetBackupId())
			}
		}
		unknown = unknown || !b.Knows(messages.Figure_FIGURE_PROOF)
		if proof.GetVerdict() != messages.Verdict_VERDICT_PROVEN {
			continue
		}
		row.LastProof = latest(row.GetLastProof(), proof.GetFinished(), now)
		if messages.AheadOf(proof.GetFinished(), now) {
			unknown = true
			c.yellow("a proof is dated in the future")
		}
	}
	switch older {
	case 0:
	case 1:
		c.yellow("an older backup is red")
	default:
		c.yellow("%d older backups are red", older)
	}
	if unknown && row.GetLastProof() == nil {
		row.Unknown = merged(row.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_LAST_PROOF})
		c.yellow("time of the last proof is unknown")
	}
}

// overdue tells whether something was not done for a while. What never was, or is dated in the future, was not done since the
// start, up ago.
func overdue(last *timestamppb.Timestamp, limit, up time.Duration, now time.Time) bool {
	if last == nil || messages.AheadOf(last, now) {
		return up > limit
	}
	return now.Sub(last.AsTime()) > limit
}
