package actors

import (
	"fmt"
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

// grade sums a row of health up. backups are those of the table, newest first; listed tells whether that is known.
func (t *tree) grade(row *messages.TableHealth, backups []*messages.BackupInfo, listed bool, suspicion suspicion, now time.Time) {
	var red, yellow []string
	if !suspicion.checked.IsZero() {
		row.LastCheck = timestamppb.New(suspicion.checked)
	}
	if suspicion.reason != "" {
		red = append(red, "damaged: "+suspicion.reason)
	}
	switch row.GetState() {
	case messages.TableState_TABLE_STATE_OPEN:
	case messages.TableState_TABLE_STATE_QUARANTINED:
		red = append(red, "quarantined: "+row.GetReason())
	default:
		yellow = append(yellow, stateName(row.GetState()))
	}
	older := 0
	for i, b := range backups {
		if b.GetFault() != "" || b.GetProof().GetVerdict() == messages.Verdict_VERDICT_RED {
			row.RedBackups++
			if i == 0 {
				red = append(red, fmt.Sprintf("newest backup %s is red", b.GetBackupId()))
			} else {
				older++
			}
		}
		if b.GetProof().GetVerdict() == messages.Verdict_VERDICT_PROVEN {
			row.LastProof = latest(row.GetLastProof(), b.GetProof().GetFinished())
		}
	}
	if listed && len(backups) == 0 {
		yellow = append(yellow, "no backup yet")
	}
	switch older {
	case 0:
	case 1:
		yellow = append(yellow, "an older backup is red")
	default:
		yellow = append(yellow, fmt.Sprintf("%d older backups are red", older))
	}
	if interval := t.scheduler.interval(); interval > 0 && overdue(row.GetLastSuccess(), staleRuns*interval, t.started, now) {
		row.BackupOverdue = true
		yellow = append(yellow, "backup is overdue")
	}
	if t.drill != nil && len(backups) > 0 && overdue(row.GetLastProof(), staleProofs*t.config.DrillEvery, t.started, now) {
		row.ProofOverdue = true
		yellow = append(yellow, "proof is overdue")
	}
	row.Concerns = append(red, yellow...)
	switch {
	case len(red) > 0:
		row.Grade = messages.Grade_GRADE_RED
	case len(yellow) > 0:
		row.Grade = messages.Grade_GRADE_YELLOW
	default:
		row.Grade = messages.Grade_GRADE_GREEN
	}
}

// overdue tells whether something was not done for a while; what never was, since the start.
func overdue(last *timestamppb.Timestamp, limit time.Duration, started, now time.Time) bool {
	since := started
	if last != nil {
		since = last.AsTime()
	}
	return now.Sub(since) > limit
}
