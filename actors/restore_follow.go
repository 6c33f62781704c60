package actors

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/gabiondb/gabion/messages"
)

// Restore puts a backup, undo or the table's own files in the place of a table, as m says, while all else goes on, and waits for
// the report. The table's PID stays. Senders get UNAVAILABLE with retry_after for the moment of the flip alone. It goes
// on when ctx ends. It is sugar over the message RestoreTable.
func (g *Gabion) Restore(ctx context.Context, m *messages.RestoreTable) (*messages.RestoreReport, error) {
	return ask[*messages.RestoreReport](ctx, g.tree.repliers, g.Coordinator(), m)
}

// RestoreFollowed restores as Restore does, and hands its progress to tell, on one goroutine at a time. It goes on when ctx ends.
func (g *Gabion) RestoreFollowed(ctx context.Context, m *messages.RestoreTable, tell func(*messages.Progress)) (*messages.RestoreReport, error) {
	if bad := m.Check(); bad != nil {
		return nil, bad.Of(m.GetTable())
	}
	var mu sync.Mutex
	gone := false
	// Also of a restore that has ended: a copy that was left behind goes on counting when its disk answers.
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		gone = true
	}()
	type outcome struct {
		report *messages.RestoreReport
		err    error
	}
	done := make(chan outcome, 1)
	g.tree.admin.start(func() {
		r := &restore{tree: g.tree, request: m, started: now(), tell: func(p *messages.Progress) {
			mu.Lock()
			defer mu.Unlock()
			if !gone {
				tell(p)
			}
		}}
		var o outcome
		defer func() {
			if reason := recover(); reason != nil {
				g.tree.config.Logger.Error("restore panicked", "table", m.GetTable(), "reason", reason, "stack", string(debug.Stack()))
				o.err = fmt.Errorf("panicked: %v: %w", reason, messages.ErrInternal)
			}
			done <- o
		}()
		o.report, o.err = r.do(g.tree.runner.ctx)
	})
	select {
	case o := <-done:
		if o.err != nil {
			return nil, messages.FailureOf(fmt.Errorf("restore: %w", o.err)).Of(m.GetTable())
		}
		return o.report, nil
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}

// RestoreTable restores the newest backup of a table that is not red.
func (g *Gabion) RestoreTable(ctx context.Context, table string) (*messages.RestoreReport, error) {
	return g.Restore(ctx, &messages.RestoreTable{Table: table})
}
