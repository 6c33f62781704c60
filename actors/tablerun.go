package actors

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// table backs up one table and returns its row. It returns within the cut's and the copy's limits, whatever
// hangs, and a panic is a failed row.
func (r *run) table(ctx context.Context, table string) (result *messages.TableResult) {
	started := now()
	defer func() {
		if reason := recover(); reason != nil {
			r.logger.Error("backup of a table panicked", "table", table, "reason", reason, "stack", string(debug.Stack()))
			result = r.failed(table, fmt.Errorf("backup panicked: %v: %w", reason, messages.ErrInternal))
		}
		result.Started = started
		result.Finished = now()
	}()
	if r.refused != nil {
		return r.failed(table, r.refused)
	}
	result, err := r.capture(ctx, table, started.AsTime())
	if err == nil && r.pin {
		// Before retention, and before anybody is told of the backup.
		_, err = patient(r.tree.asking.of("pin of "+table), r.tree.config.CopyTimeout, func() (any, error) {
			return nil, r.tree.backups.Pin(table, result.GetBackupId(), cmp.Or(r.label, "pinned by a backup without a label"))
		})
	}
	if err != nil {
		r.logger.Warn("table not backed up", "table", table, "error", err)
		return r.failed(table, err)
	}
	return result
}

func (r *run) failed(table string, err error) *messages.TableResult {
	return &messages.TableResult{
		Table: table, Outcome: messages.Outcome_OUTCOME_FAILED, Failure: messages.FailureOf(err).Of(table)}
}

// capture carries the newest backup forward when the table has not changed since, and cuts and publishes
// otherwise.
func (r *run) capture(ctx context.Context, table string, started time.Time) (*messages.TableResult, error) {
	have, err := patient(r.tree.asking.of("newest of "+table), r.tree.config.CopyTimeout, func() (store.Content, error) {
		if err := r.tree.backups.Check(); err != nil {
			return store.Content{}, err
		}
		return r.newestContent(table)
	})
	if err != nil {
		return nil, err
	}
	if r.last != nil {
		if err := r.last.turn(ctx); err != nil {
			return nil, err
		}
	}
	done, err := r.cutSpanned(ctx, table, have)
	if err != nil {
		return nil, err
	}
	if done.GetUnchanged() {
		carried, err := patient(r.tree.asking.of("carry of "+table), r.tree.config.CopyTimeout, func() (*messages.TableResult, error) {
			return r.tree.backups.CarryForward(table, contentOf(done))
		})
		if err != nil || carried != nil {
			return carried, err
		}
		// The backup may not be carried: the table is backed up anew.
		if done, err = r.cutSpanned(ctx, table, store.Content{}); err != nil {
			return nil, err
		}
	}
	return r.publish(ctx, backup.Cut{
		Table: table, RunID: r.id, Label: r.label, Staging: done.GetStaging(),
		Lent: r.tree.directory.Lent(done.GetStaging()), Content: contentOf(done), Started: started,
		Independent: r.independent})
}

// contentOf is what a cut found in the table.
func contentOf(done *messages.CutDone) store.Content {
	return store.Content{Record: done.GetRecord(), SSTables: done.GetSstables()}
}

// cutSpanned is cut within a span.
func (r *run) cutSpanned(ctx context.Context, table string, have store.Content) (done *messages.CutDone, err error) {
	ctx, span := r.tree.span(ctx, "gabion.cut", tableAttribute(table))
	defer func() { span.end(err) }()
	return r.cut(ctx, table, have)
}

// newestContent is what the table's newest backup that may be carried forward holds; of no position when there is none.
func (r *run) newestContent(table string) (store.Content, error) {
	newest, _, err := r.tree.backups.NewestUsable(table)
	return newest.Content(), err
}

// askOwner asks the owner for a cut, and counts the rows of one that is at_cut, as long as that takes. An answer that comes
// after the deadline is of this run, and is removed.
func (r *run) askOwner(ctx context.Context, table string, have store.Content) (*messages.CutDone, error) {
	owner := r.tree.members.owner(table)
	if owner == nil {
		return nil, fmt.Errorf("cut: %w", droppedFailure(table))
	}
	limit := r.tree.config.CutTimeout
	patience, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer in %v", limit))
	defer cancel()
	replier := r.tree.repliers.get()
	r.tree.system.Root.RequestWithCustomSender(owner, &messages.Cut{
		RunId: r.id, Have: have.Record.GetPosition(), HaveRecord: have.Record, HaveSstables: have.SSTables}, replier.pid)
	reply, err := replier.await(patience, func(late any) { r.discard(table, late) })
	if err != nil {
		return nil, fmt.Errorf("cut: %w: %w", err, messages.ErrDeadline)
	}
	switch m := reply.(type) {
	case *messages.CutDone:
		return m, nil
	case *uncounted:
		if err := m.count(ctx); err != nil {
			r.discard(table, m.CutDone)
			return nil, fmt.Errorf("cut: %w", err)
		}
		return m.CutDone, nil
	case *messages.Failure:
		return nil, fmt.Errorf("cut: %w", m)
	}
	return nil, fmt.Errorf("cut: answered with %T: %w", reply, messages.ErrInternal)
}

// discard removes the staging of a cut that came too late, or could not be counted. It must not wait on the goroutine
// that answers.
func (r *run) discard(table string, cut any) {
	if u, ok := cut.(*uncounted); ok {
		go func() { _ = u.snapshot.Close() }()
		cut = u.CutDone
	}
	done, ok := cut.(*messages.CutDone)
	if !ok || done.GetStaging() == "" || done.GetRunId() != r.id {
		return
	}
	go func() {
		if err := r.tree.directory.DiscardCut(done.GetStaging()); err != nil {
			r.logger.Warn("unused cut not removed: it is swept at the next start", "table", table, "error", err)
			return
		}
		r.logger.Info("unused cut removed", "table", table)
	}()
}

// publish copies a cut to the backup directory, and gives up when the copy makes no progress for a while.
func (r *run) publish(ctx context.Context, cut backup.Cut) (result *messages.TableResult, err error) {
	ctx, span := r.tree.span(ctx, "gabion.publish", tableAttribute(cut.Table))
	defer func() {
		span.SetAttributes(attribute.Int64("gabion.bytes", result.GetBytes()), attribute.Int64("gabion.copied_bytes", result.GetCopiedBytes()))
		span.end(err)
	}()
	add, end := r.tree.underway.begin("backup", cut.Table, "", 0)
	defer end()
	return watched(ctx, r.tree.config.CopyTimeout, "copy", func(ctx context.Context, progress func()) (*messages.TableResult, error) {
		defer r.tree.directory.GiveBack(cut.Staging)
		return r.tree.backups.Publish(ctx, cut, func(bytes int64) {
			progress()
			add(bytes)
		})
	})
}
