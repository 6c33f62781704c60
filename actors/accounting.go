package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// accounting is how a table's groups keep its count.
func (c Config) accounting(table string) messages.Accounting {
	if slices.Contains(c.AtCut, table) {
		return messages.Accounting_ACCOUNTING_AT_CUT
	}
	return messages.Accounting_ACCOUNTING_EXACT
}

// uncounted is a cut of a table at_cut: the answer to a run's Cut, which counts the rows and closes the snapshot.
type uncounted struct {
	*messages.CutDone
	// snapshot shows what the cut holds.
	snapshot  *store.Snapshot
	committer *committer
}

// count labels a cut with what its snapshot holds, and closes that. It ends when the table closes, ctx does, or the
// disk makes no progress for as long as a copy may.
func (u *uncounted) count(ctx context.Context) error {
	m := u.committer
	found, err := watched(ctx, m.cell.tree.config.CopyTimeout, "count of the rows",
		func(ctx context.Context, progress func()) (store.Sums, error) {
			// Here, because a scan that hangs is left behind with it.
			defer func() { _ = u.snapshot.Close() }()
			return u.snapshot.Sums(1, func() error {
				progress()
				return context.Cause(ctx)
			})
		})
	if errors.Is(err, store.ErrClosed) {
		err = fmt.Errorf("table closed: %w: %w", err, messages.ErrUnavailable)
	}
	if err != nil {
		return err
	}
	found.Label(u.Record)
	if m.store.Estimate(found) {
		m.writeRecord()
	}
	return nil
}

// recount counts the rows of a table that was at_cut and becomes exact. It ends with the store.
func (m *committer) recount() {
	err := m.store.Recount()
	switch {
	case err == nil:
		m.cell.logger.Info("rows are counted: the table is exact with its next group")
		m.writeRecord()
	case !errors.Is(err, store.ErrClosed):
		m.cell.logger.Error("rows cannot be counted: the table stays at_cut until it is opened again", "error", err)
	}
}

// writeRecord has the next group, or one without operations, write what is new for the table's record.
func (m *committer) writeRecord() {
	m.submit(&entry{request: request{out: m.cell.outbox}, kind: recordEntry})
}
