package actors

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// pruneKey lets requests for the same share one.
func pruneKey(m *messages.PruneBackups) string {
	return "prune\x00" + strings.Join(slices.Compact(slices.Sorted(slices.Values(m.GetTables()))), ",")
}

// mayPrune returns why nothing may be pruned here, nil when it may.
func (t *tree) mayPrune(m *messages.PruneBackups) *messages.Failure {
	if !t.config.knowsRules() {
		return messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "the rules of retention are not known").
			Advise("give them, as whoever serves the directory has them: Keep and the rules beside it")
	}
	if t.config.ReadOnly && !m.GetDryRun() {
		return readOnlyFailure()
	}
	return nil
}

// guardedPrune answers PruneBackups. The runner calls it, in turn with the runs.
func (t *tree) guardedPrune(ctx context.Context, m *messages.PruneBackups) (reply proto.Message) {
	defer func() {
		if reason := recover(); reason != nil {
			t.config.Logger.Error("prune panicked", "reason", reason, "stack", string(debug.Stack()))
			reply = messages.Failf(messages.Code_CODE_INTERNAL, "prune panicked: %v", reason).
				Advise("the log has the stack; what is left is complete")
		}
	}()
	return t.prune(ctx, m, t.backups.Prune)
}

// foresee answers a PruneBackups that removes nothing.
func (t *tree) foresee(m *messages.PruneBackups) proto.Message {
	return t.prune(t.runner.ctx, m, t.backups.Foresee)
}

// retention is backup.Directory's Prune or Foresee.
type retention func(ctx context.Context, table string, policy backup.Policy, now time.Time, progress func()) (backup.Pruned, error)

// pruneTable gives up when the disk makes no progress for a while.
func (t *tree) pruneTable(ctx context.Context, table string, retain retention) (backup.Pruned, error) {
	return watched(ctx, t.config.CopyTimeout, "prune of table "+table,
		func(ctx context.Context, progress func()) (backup.Pruned, error) {
			policy, err := t.policy(table)
			if err != nil {
				return backup.Pruned{}, err
			}
			return retain(ctx, table, policy, time.Now(), progress)
		})
}

// prune applies retention to each table that is meant, then to the sets.
func (t *tree) prune(ctx context.Context, m *messages.PruneBackups, retain retention) proto.Message {
	limit := t.config.CopyTimeout
	tables, err := patient(t.asking.of("prune"), limit, func() ([]string, error) { return t.backedUp(m.GetTables()) })
	if err != nil {
		return messages.FailureOf(fmt.Errorf("prune: %w", err))
	}
	report := &messages.PruneReport{DryRun: m.GetDryRun()}
	for _, table := range tables {
		done, err := t.pruneTable(ctx, table, retain)
		for _, decision := range done.Decisions {
			for i, reason := range decision.GetReasons() {
				decision.Reasons[i] = messages.Text(reason)
			}
		}
		report.Decisions = append(report.Decisions, done.Decisions...)
		report.FreedBytes += done.Freed
		if err != nil {
			report.Faults = append(report.Faults, messages.Text(err.Error()))
			t.config.Logger.Error("prune failed: nothing that must stay was removed", "table", table, "error", err)
		}
	}
	removed, err := patient(t.asking.of("sets"), limit, func() ([]string, error) {
		if m.GetDryRun() {
			return t.backups.ForeseeSets(report.GetDecisions())
		}
		return t.backups.RetainSets()
	})
	report.RemovedSets = removed
	if err != nil {
		report.Faults = append(report.Faults, messages.Text(err.Error()))
		t.config.Logger.Error("sets without backups not removed", "error", err)
	}
	if !m.GetDryRun() {
		t.config.Logger.Info("backups pruned", "tables", len(tables), "freed_bytes", report.GetFreedBytes(), "faults", len(report.GetFaults()))
	}
	return report
}

// backedUp returns those of the tables, or of all, that have a backup. One that has none is an error.
func (t *tree) backedUp(tables []string) ([]string, error) {
	known, err := t.backups.Tables()
	if err != nil || len(tables) == 0 {
		return known, err
	}
	tables = slices.Compact(slices.Sorted(slices.Values(tables)))
	var unknown []string
	for _, table := range tables {
		if !slices.Contains(known, table) {
			unknown = append(unknown, table)
		}
	}
	if unknown != nil {
		return nil, messages.Failf(messages.Code_CODE_NOT_FOUND, "no backups of tables: %s", strings.Join(unknown, ", ")).
			Advise("ListBackups names the tables that have backups")
	}
	return tables, nil
}
