package actors

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

const (
	// usageTimeout is how long health waits for one table's statistics: they take Pebble's locks.
	usageTimeout = 2 * time.Second
	// listTimeout is how long it waits for the backup directory.
	listTimeout = 5 * time.Second
	// concurrentHealth is how many tables are asked at once.
	concurrentHealth = 16
)

// health asks every table. It answers within its limits, whatever hangs.
func (t *tree) health() *messages.HealthReport {
	tables := t.members.shown()
	report := &messages.HealthReport{
		Dir: messages.Text(t.directory.Path()), BackupDir: messages.Text(t.backups.Path()), Tables: make([]*messages.TableHealth, len(tables)),
		NextRun: t.scheduler.next()}
	slots := make(chan struct{}, concurrentHealth)
	var wg sync.WaitGroup
	for i, m := range tables {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			report.Tables[i] = m.health()
		})
	}
	wg.Wait()
	t.addSchedule(report)
	backups := t.addBackups(report)
	t.addOnDisk(report)
	now := time.Now()
	for i, m := range tables {
		t.grade(report.GetTables()[i], backups[m.name], backups != nil, m.suspected(), now)
	}
	return report
}

// health is one table's row, without its backups.
func (c *cell) health() *messages.TableHealth {
	info := c.info()
	row := &messages.TableHealth{
		Table: c.name, State: info.GetState(), Reason: info.GetReason(), Hint: info.GetHint(), Restarts: c.restarts.Load()}
	m := c.serving.Load()
	if m == nil {
		return row
	}
	record := m.store.Record()
	row.Count, row.CountExact = record.GetCount(), record.GetAccounting() == messages.Accounting_ACCOUNTING_EXACT
	row.LiveBytes = record.GetLiveBytes()
	row.Pending = uint64(m.pendingOps())
	usage, err := patient(&c.usage, usageTimeout, m.store.Usage)
	if err != nil {
		row.Reason = fmt.Sprintf("statistics unknown: %v", err)
		return row
	}
	row.DiskBytes, row.Fragmentation = usage.DiskBytes, usage.Fragmentation
	return row
}

// addBackups fills in what the backup directory knows, and returns the backups of each table, newest first; nil where it cannot
// be read.
func (t *tree) addBackups(report *messages.HealthReport) map[string][]*messages.BackupInfo {
	list, err := patient(&t.listing, listTimeout, func() (*messages.BackupList, error) { return t.readBackups(t.served(), briefly) })
	if err != nil {
		report.Faults = append(report.Faults, messages.FailureOf(fmt.Errorf("list backups: %w", err)))
		return nil
	}
	if t.backups.Missing() {
		report.Faults = append(report.Faults, messages.Failf(messages.Code_CODE_NOT_FOUND,
			"backup directory %s is missing", t.backups.Path()).
			Advise("mount it, or name the right one with --backup-dir"))
	}
	rows := make(map[string]*messages.TableHealth, len(report.GetTables()))
	for _, row := range report.GetTables() {
		rows[row.GetTable()] = row
	}
	backups := make(map[string][]*messages.BackupInfo, len(rows))
	for _, b := range list.GetBackups() {
		backups[b.GetTable()] = append(backups[b.GetTable()], b)
		row := rows[b.GetTable()]
		if row == nil {
			continue // a table made meanwhile
		}
		if b.GetFault() == "" {
			row.Backups++
			row.LastSuccess = latest(row.GetLastSuccess(), b.GetFinished())
		}
	}
	for _, set := range list.GetSets() {
		for _, result := range set.GetResults() {
			row := rows[result.GetTable()]
			if row == nil {
				continue
			}
			row.LastAttempt = latest(row.GetLastAttempt(), result.GetFinished())
			if result.GetOutcome() != messages.Outcome_OUTCOME_FAILED {
				row.LastSuccess = latest(row.GetLastSuccess(), result.GetFinished())
			}
		}
	}
	if sets := list.GetSets(); len(sets) > 0 {
		report.LastRun = sets[0]
	}
	report.LastSuccessRun = endedBy(report.GetLastSuccess(), list.GetSets())
	return backups
}

// endedBy is the run that ended right before at: one goes at a time, and the schedule is told before the next begins.
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

// addSchedule fills in what the schedule remembers. A visitor has none of its own, and reads what it left.
func (t *tree) addSchedule(report *messages.HealthReport) {
	state := t.scheduler.snapshot()
	if state == nil && t.config.Visit {
		var err error
		state, err = patient(&t.tables, listTimeout, t.directory.ReadSchedule)
		if err != nil {
			report.Faults = append(report.Faults, messages.FailureOf(fmt.Errorf("read schedule: %w", err)))
		}
	}
	report.LastAttempt, report.LastSuccess = state.GetLastAttempt(), state.GetLastSuccess()
}

func latest(a, b *timestamppb.Timestamp) *timestamppb.Timestamp {
	if a == nil || b != nil && b.AsTime().After(a.AsTime()) {
		return b
	}
	return a
}

func (t *tree) addOnDisk(report *messages.HealthReport) {
	type found struct {
		unconfigured []string
		undo         []*messages.Undo
	}
	onDisk, err := patient(&t.tables, listTimeout, func() (found, error) {
		unconfigured, err := t.unconfigured()
		undo, errUndo := t.undo()
		return found{unconfigured, undo}, errors.Join(err, errUndo)
	})
	report.Unconfigured, report.Undo = onDisk.unconfigured, onDisk.undo
	if err != nil {
		report.Faults = append(report.Faults, messages.FailureOf(fmt.Errorf("list tables on disk: %w", err)))
	}
}
