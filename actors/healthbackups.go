package actors

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// knownBackups is what could be read of the backup directory.
type knownBackups struct {
	// of has the backups of each table, newest first. A table whose backups cannot be listed has an error in faults instead.
	of     map[string][]*messages.BackupInfo
	faults map[string]error
	// sets are newest first. Those that cannot be read are unread; with setsFault nothing is known of sets.
	sets      []*messages.BackupSet
	unread    []backup.UnreadSet
	setsFault error
}

// unknownBackups is what is known where nothing could be read.
func unknownBackups(tables []string, err error) knownBackups {
	k := knownBackups{faults: make(map[string]error), setsFault: err}
	for _, table := range tables {
		k.faults[table] = err
	}
	return k
}

// lookAtBackups reads what health shows of the backup directory. What cannot be read of one table hides no other.
func (t *tree) lookAtBackups(tables []string) (knownBackups, error) {
	k := knownBackups{of: make(map[string][]*messages.BackupInfo), faults: make(map[string]error)}
	for _, table := range tables {
		backups, err := t.backups.List(table)
		if err != nil {
			k.faults[table] = err
			continue
		}
		// What another copy of the directory has backed up is no backup of this one's tables.
		backups = slices.DeleteFunc(backups, func(b backup.Backup) bool { return b.OtherCopy })
		k.of[table] = briefly(table, backups)
	}
	if k.sets, k.unread, k.setsFault = t.backups.ReadSets(); k.setsFault == nil {
		k.sets, k.setsFault = t.backups.OwnSets(k.sets)
	}
	return k, nil
}

// addBackups fills in what the backup directory knows, and notes what it does not. A directory that cannot be used is a danger.
func (t *tree) addBackups(report *messages.HealthReport, found *findings, now time.Time) knownBackups {
	tables := make([]string, len(report.GetTables()))
	for i, row := range report.GetTables() {
		tables[i] = row.GetTable()
	}
	known, err := patient(&t.listing, listTimeout, func() (knownBackups, error) { return t.lookAtBackups(tables) })
	unusable := t.backups.fault()
	if unusable != nil {
		found.whole.red("%v", unusable)
		found.fault(report, unusable)
	}
	switch {
	case unusable != nil && t.backups.ready() == nil:
		known = unknownBackups(tables, unusable)
	case err != nil: // it may only be slow
		known = unknownBackups(tables, err)
		found.fault(report, fmt.Errorf("list backups: %w", err))
	case t.backups.Missing():
		failure := messages.Failf(messages.Code_CODE_NOT_FOUND, "backup directory %s is missing", t.backups.Path()).
			Advise("mount it, or name the right one with --backup-dir")
		known = unknownBackups(tables, failure)
		found.whole.red("%s", failure.Error())
		found.fault(report, failure)
	default:
		for _, table := range tables {
			if err := known.faults[table]; err != nil {
				found.fault(report, err)
			}
		}
		if known.setsFault != nil {
			found.fault(report, known.setsFault)
		}
		for _, set := range known.unread {
			found.fault(report, set.Err)
		}
		if known.setsFault != nil && len(known.of) == 0 {
			found.whole.red("backup directory %s cannot be read", t.backups.Path())
		}
	}
	for _, row := range report.GetTables() {
		addRow(row, known, found.of(row.GetTable()), now)
	}
	t.addRuns(report, found, known, now)
	return known
}

// addRow fills in what the backups and sets say of one table, and what nobody knows of it.
func addRow(row *messages.TableHealth, known knownBackups, c *concerns, now time.Time) {
	table := row.GetTable()
	if known.faults[table] != nil {
		row.Unknown = merged(row.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_BACKUPS, messages.Figure_FIGURE_LAST_PROOF})
		c.yellow("backups and proofs are unknown")
	}
	unread, ahead := known.faults[table] != nil || known.setsFault != nil, false
	attemptAhead := false
	for _, b := range known.of[table] {
		switch {
		case b.GetFault() == "":
			row.Backups++
			ahead = messages.AheadOf(b.GetFinished(), now) || ahead
			row.LastSuccess = latest(row.GetLastSuccess(), b.GetFinished(), now)
		default:
			unread = true
		}
	}
	for _, set := range known.sets {
		for _, result := range set.GetResults() {
			if result.GetTable() != table {
				continue
			}
			attemptAhead = messages.AheadOf(result.GetFinished(), now) || attemptAhead
			row.LastAttempt = latest(row.GetLastAttempt(), result.GetFinished(), now)
			if result.GetOutcome() != messages.Outcome_OUTCOME_FAILED {
				ahead = messages.AheadOf(result.GetFinished(), now) || ahead
				row.LastSuccess = latest(row.GetLastSuccess(), result.GetFinished(), now)
			}
		}
	}
	// What is known is not the last one where the sets are not known: a table that did not change has only them.
	if known.setsFault != nil || row.GetLastSuccess() == nil && (unread || ahead || len(known.unread) > 0) {
		row.LastSuccess = nil
		row.Unknown = merged(row.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_LAST_BACKUP})
		c.yellow("time of the last backup is unknown")
	}
	if known.setsFault != nil || row.GetLastAttempt() == nil && (attemptAhead || len(known.unread) > 0) {
		row.LastAttempt = nil
		row.Unknown = merged(row.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_LAST_RUN})
		if row.Knows(messages.Figure_FIGURE_LAST_BACKUP) {
			c.yellow("time of the last run is unknown")
		}
	}
	if newest := known.of[table]; len(newest) > 0 && datedAhead(newest[0], now) {
		c.yellow("newest backup is dated in the future")
	}
}

// datedAhead tells whether a backup began or ended in the future, by its manifest.
func datedAhead(b *messages.BackupInfo, now time.Time) bool {
	return messages.AheadOf(b.GetStarted(), now) || messages.AheadOf(b.GetFinished(), now)
}

// addRuns fills in the last run.
func (t *tree) addRuns(report *messages.HealthReport, found *findings, known knownBackups, now time.Time) {
	switch {
	case known.setsFault != nil:
		report.Unknown = merged(report.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_LAST_RUN})
	case len(known.unread) > 0 && (len(known.sets) == 0 || known.unread[0].RunID > known.sets[0].GetRunId()):
		report.Unknown = merged(report.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_LAST_RUN})
	case len(known.sets) > 0:
		report.LastRun = known.sets[0]
		if messages.AheadOf(report.GetLastRun().GetFinished(), now) {
			found.whole.yellow("last run is dated in the future")
		}
	}
	report.LastSuccessRun = endedBy(report.GetLastSuccess(), known.sets)
}

// endedBy is the run that ended right before at: runs take turns, and the schedule notes each before the next begins.
func endedBy(at *timestamppb.Timestamp, sets []*messages.BackupSet) string {
	if at == nil {
		return ""
	}
	for _, set := range sets { // the newest first
		if !set.GetFinished().AsTime().After(at.AsTime()) {
			return set.GetRunId()
		}
	}
	return ""
}

// latest is the later one of two times. What is dated in the future counts as none.
func latest(a, b *timestamppb.Timestamp, now time.Time) *timestamppb.Timestamp {
	switch {
	case b == nil || messages.AheadOf(b, now):
		return a
	case a == nil || b.AsTime().After(a.AsTime()):
		return b
	}
	return a
}

// addSchedule fills in what the schedule remembers. A visitor has none of its own, and reads what it left.
func (t *tree) addSchedule(report *messages.HealthReport, found *findings, now time.Time) {
	state := t.scheduler.snapshot()
	if err := t.scheduler.trouble(); err != nil {
		found.fault(report, err)
	}
	switch {
	case state == nil && t.config.Visit:
		var err error
		if state, err = patient(&t.state, listTimeout, t.directory.ReadSchedule); err != nil {
			found.fault(report, fmt.Errorf("read schedule: %w", err), messages.Figure_FIGURE_SCHEDULE, messages.Figure_FIGURE_LAST_BACKUP)
		}
	case t.scheduler.forgot():
		report.Unknown = merged(report.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_SCHEDULE, messages.Figure_FIGURE_LAST_BACKUP})
		found.whole.yellow("time of the last run of all tables is unknown")
	}
	report.LastAttempt, report.LastSuccess = state.GetLastAttempt(), state.GetLastSuccess()
	if messages.AheadOf(report.GetLastAttempt(), now) {
		report.LastAttempt, report.Unknown = nil, merged(report.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_SCHEDULE})
		found.whole.yellow("last attempt of the schedule is dated in the future")
	}
	if messages.AheadOf(report.GetLastSuccess(), now) {
		report.LastSuccess, report.Unknown = nil, merged(report.GetUnknown(), []messages.Figure{messages.Figure_FIGURE_LAST_BACKUP})
		found.whole.yellow("last success of the schedule is dated in the future")
	}
}

// addOnDisk fills in what DIR has beside the tables that are served.
func (t *tree) addOnDisk(report *messages.HealthReport, found *findings, now time.Time) {
	// Why either of them is not all that there is.
	var unlisted, unread error
	report.Unconfigured, unlisted = t.unconfigured()
	report.Undo, unread = t.undo()
	if unlisted != nil || unread != nil {
		var unknown []messages.Figure
		if unlisted != nil {
			unknown = append(unknown, messages.Figure_FIGURE_UNCONFIGURED)
		}
		if unread != nil {
			unknown = append(unknown, messages.Figure_FIGURE_UNDO)
		}
		reason := unlisted
		if reason == nil {
			reason = unread
		}
		found.fault(report, fmt.Errorf("list tables on disk: %w", reason), unknown...)
	}
	for _, u := range report.GetUndo() {
		if messages.AheadOf(u.GetSince(), now) {
			found.whole.yellow("undo of table %s is dated in the future", u.GetTable())
		}
	}
}
