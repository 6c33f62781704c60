package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// run is one backup of its tables.
type run struct {
	tree  *tree
	id    string
	label string
	pin   bool
	// adopt makes the backup directory that of this directory, where it is not.
	adopt bool
	// keepsAll leaves retention out.
	keepsAll bool
	// independent backups share no file with those that lie there.
	independent bool
	tables      []string
	logger      *slog.Logger
	// last is set for the last run of a table that is dropped.
	last *lastRun
	// cut captures a table that no longer is what have says.
	cut func(ctx context.Context, table string, have store.Content) (*messages.CutDone, error)
	set *messages.BackupSet
	// refused says why no table can be backed up.
	refused error
}

func newRun(t *tree, q *queuedRun) *run {
	id := t.runner.nextID()
	r := &run{
		tree:  t,
		id:    id,
		label: q.label,
		pin:   q.pin,
		adopt: q.adopt,

		independent: q.anew != nil,
		tables:      q.tables,
		logger:      t.config.Logger.With("run_id", id),
		last:        q.last,
		set: &messages.BackupSet{
			FormatVersion: store.FormatVersion,
			StoreId:       t.directory.StoreID(),
			RunId:         id,
			Label:         q.label,
			Started:       now(),
		},
	}
	r.cut = r.askOwner
	return r
}

// do backs up the tables, a few at once, best effort; then writes the set, lets retention remove what is
// old, and publishes BackupComplete. All that its report names is durable.
func (r *run) do(ctx context.Context) (report *messages.BackupReport) {
	r.logger.Info("backup started", "tables", len(r.tables), "label", r.label)
	r.tree.publisher.publish(&messages.BackupStarted{
		RunId: r.id, Label: r.label, Started: r.set.GetStarted(), Tables: slices.Clone(r.tables)})
	ctx, span := r.tree.span(ctx, "gabion.run", attribute.String("gabion.run_id", r.id), attribute.String("gabion.label", r.label),
		attribute.Int("gabion.tables", len(r.tables)))
	defer func() { span.end(r.spanError(report)) }()
	report = &messages.BackupReport{Set: r.set, BackupDir: messages.Text(r.tree.backups.Path())}
	r.begin(report)
	r.set.Results = r.backUp(ctx)
	r.set.Finished = now()
	r.sweep()
	limit := r.tree.config.CopyTimeout
	if !r.isRefused() {
		r.keep(report, limit)
	}
	if err := r.tree.sweep(limit); err != nil {
		report.Faults = append(report.Faults, messages.Text(fmt.Sprintf("remove undo whose life has ended: %v", err)))
		r.logger.Error("undo whose life has ended is not removed", "error", err)
	}
	complete := r.complete(report)
	r.logger.Info("backup complete", "backed_up", len(complete.GetBackedUp()), "failed", len(complete.GetFailed()),
		"took", r.set.GetFinished().AsTime().Sub(r.set.GetStarted().AsTime()))
	r.tree.publisher.publish(complete)
	return report
}

// keep writes the set, and lets retention remove what is old.
func (r *run) keep(report *messages.BackupReport, limit time.Duration) {
	if _, err := patient(r.tree.asking.of("set"), limit, func() (any, error) { return nil, r.tree.backups.WriteSet(r.set) }); err != nil {
		report.Faults = append(report.Faults, messages.Text(err.Error()))
		r.logger.Error("set not written: the backups of the run are complete without it", "error", err)
	}
	if r.keepsAll || r.tree.config.Visit {
		return
	}
	r.retain(report)
	if _, err := patient(r.tree.asking.of("sets"), limit, r.tree.backups.RetainSets); err != nil {
		report.Faults = append(report.Faults, messages.Text(err.Error()))
		r.logger.Error("sets without backups not removed", "error", err)
	}
}

// begin makes sure that the backup directory is that of this directory, before anything is written there.
func (r *run) begin(report *messages.BackupReport) {
	type begun struct {
		copyID   string
		unmarked error
	}
	b, err := patient(r.tree.asking.of("begin of a run"), r.tree.config.CopyTimeout, func() (b begun, err error) {
		if b.unmarked, err = r.tree.backups.BeginRun(r.id, r.adopt); err == nil {
			b.copyID, err = r.tree.backups.CopyID()
		}
		return b, err
	})
	r.set.CopyId = b.copyID
	if b.unmarked != nil {
		report.Faults = append(report.Faults, messages.Text(b.unmarked.Error()))
		r.logger.Error("run goes on without a token of its own", "error", b.unmarked)
	}
	if r.refused = err; err != nil {
		r.logger.Error("run makes no backup", "error", err, "hint", joinHints(err))
	}
}

// isRefused tells whether nothing may be written in the backup directory, whoever it belongs to.
func (r *run) isRefused() bool {
	return errors.Is(r.refused, messages.ErrNotAdopted) || errors.Is(r.refused, store.ErrNewer)
}

// backUp returns one row for each table, in the order of the tables.
func (r *run) backUp(ctx context.Context) []*messages.TableResult {
	results := make([]*messages.TableResult, len(r.tables))
	slots := make(chan struct{}, r.tree.config.ConcurrentBackups)
	var wg sync.WaitGroup
	for i, table := range r.tables {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = r.table(ctx, table)
			r.tree.publisher.publish(&messages.TableBackedUp{RunId: r.id, Result: results[i]})
		})
	}
	wg.Wait()
	return results
}

// retain applies retention to the tables that this run backed up. A table that fails keeps its old backups
// for as long as it fails.
func (r *run) retain(report *messages.BackupReport) {
	for _, result := range r.set.GetResults() {
		if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
			continue
		}
		decisions, err := patient(r.tree.asking.of("retention of "+result.GetTable()), r.tree.config.CopyTimeout, func() ([]*messages.RetentionDecision, error) {
			policy, err := r.tree.policy(result.GetTable())
			if err != nil {
				return nil, err
			}
			return r.tree.backups.Retain(result.GetTable(), policy, time.Now())
		})
		report.Retained = append(report.Retained, decisions...)
		if err != nil {
			err = fmt.Errorf("retain backups of table %q: %w", result.GetTable(), err)
			report.Faults = append(report.Faults, messages.Text(err.Error()))
			r.logger.Error("retention failed: nothing that must stay was removed", "error", err)
		}
	}
}

// spanError is what went wrong in a run: with its tables, and with what comes after them. Without a report it panicked.
func (r *run) spanError(report *messages.BackupReport) error {
	if report == nil {
		return errors.New("the run did not come to its end")
	}
	var errs []error
	for _, result := range r.set.GetResults() {
		if result.GetFailure() != nil {
			errs = append(errs, result.GetFailure())
		}
	}
	for _, fault := range report.GetFaults() {
		errs = append(errs, errors.New(fault))
	}
	return errors.Join(errs...)
}

func (r *run) complete(report *messages.BackupReport) *messages.BackupComplete {
	event := &messages.BackupComplete{
		RunId: r.id, Label: r.label, Started: r.set.GetStarted(), Finished: r.set.GetFinished(), BackupDir: report.GetBackupDir(),
	}
	for _, result := range r.set.GetResults() {
		if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
			event.Failed = append(event.Failed, result)
		} else {
			event.BackedUp = append(event.BackedUp, result)
		}
	}
	return event
}

// broken is the event of a run that ended without results: every table failed.
func (r *run) broken(why string) *messages.BackupComplete {
	event := &messages.BackupComplete{
		RunId: r.id, Label: r.label, Started: r.set.GetStarted(), Finished: now(), BackupDir: messages.Text(r.tree.backups.Path())}
	for _, table := range r.tables {
		event.Failed = append(event.Failed, &messages.TableResult{
			Table: table, Outcome: messages.Outcome_OUTCOME_FAILED,
			Failure: messages.Failf(messages.Code_CODE_INTERNAL, "%s", why).Of(table)})
	}
	return event
}

// sweep removes the run's staging directory. A cut that is still to come is removed when it comes.
func (r *run) sweep() {
	_, err := within(r.tree.config.CopyTimeout, func() (any, error) {
		// Also of a copy that hangs: given up, it comes to nothing, whatever it finds when it goes on.
		return nil, r.tree.directory.DiscardRun(r.id)
	})
	if err != nil {
		r.logger.Warn("staging not removed: it is swept at the next start", "error", err)
	}
}
