package actors

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/gabiondb/gabion/messages"
)

// drop is one DropTable. Until its turn among the runs has come the table takes writes, and the drop can be given up.
type drop struct {
	tree    *tree
	cell    *cell
	message *messages.DropTable
	// patience gives it up when it ends before its turn, and claim tells whether its sender still waits then.
	patience context.Context
	claim    func() bool

	state  atomic.Int32
	opened atomic.Bool // a closed table was opened for its last backup
}

const (
	dropWaits int32 = iota
	dropTurn
	dropGivenUp
)

// boundedDrop is a DropTable of a handle of this process: it is given up when ctx ends before its turn.
type boundedDrop struct {
	*messages.DropTable
	ctx context.Context
}

// dropTable takes a table out of service after a last backup.
func (t *tree) dropTable(ctx context.Context, m *boundedDrop, claim func() bool) (*cell, error) {
	if t.config.ReadOnly {
		return nil, readOnlyFailure()
	}
	c, err := t.findOnDisk(ctx, m.GetTable())
	if err != nil {
		return nil, err
	}
	if !c.dropAsked.CompareAndSwap(false, true) {
		return nil, messages.Failf(messages.Code_CODE_UNAVAILABLE, "table is being dropped already").Of(c.name).After(retryLate)
	}
	defer c.dropAsked.Store(false)
	d := &drop{tree: t, cell: c, message: m.DropTable, patience: m.ctx, claim: claim}
	if at := asTime(m.GetDeadline()); !at.IsZero() {
		var cancel context.CancelFunc
		d.patience, cancel = context.WithDeadline(m.ctx, at)
		defer cancel()
	}
	// After the keeper has closed the store, or the table goes on.
	defer c.dropping.Store(false)
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	if err := c.ask(ctx, dropCommand); err != nil {
		d.closeAgain(ctx)
		return nil, err
	}
	t.system.Root.Send(t.supervisor.Load(), &retirement{cell: c})
	t.scheduler.serve()
	return c, nil
}

// prepare waits for the drop's turn and makes the last backup.
func (d *drop) prepare(ctx context.Context) error {
	if d.message.GetWithoutBackup() {
		return d.begin()
	}
	err := d.lastBackup(ctx)
	if err == nil {
		return nil
	}
	d.closeAgain(ctx)
	if d.state.Load() == dropGivenUp {
		return err
	}
	return messages.WithHint(fmt.Errorf("last backup before the drop: %w", err),
		"the table was not dropped; without_backup drops it all the same")
}

// closeAgain closes a table that was opened for its last backup.
func (d *drop) closeAgain(ctx context.Context) {
	if d.opened.Load() {
		// As it was, also when Gabion stops meanwhile: the keeper refuses then, and closes it anyway.
		_ = d.cell.ask(ctx, closeCommand)
	}
}

// begin is the drop's turn: from here on writes are refused, and it goes on whatever its sender does. What was
// accepted before is in the commit order before the cut that follows.
func (d *drop) begin() error {
	if d.patience.Err() != nil || !d.state.CompareAndSwap(dropWaits, dropTurn) {
		return d.expired()
	}
	if !d.claim() {
		d.state.Store(dropGivenUp)
		return d.expired()
	}
	d.cell.dropping.Store(true)
	return nil
}

// turn is begin, for the run that makes the last backup: a table that is closed is opened for it.
func (d *drop) turn(ctx context.Context) error {
	if err := d.begin(); err != nil {
		return err
	}
	if d.cell.showing() != messages.TableState_TABLE_STATE_CLOSED {
		return nil
	}
	if err := d.cell.ask(ctx, openCommand); err != nil {
		return fmt.Errorf("open for the last backup: %w", err)
	}
	d.opened.Store(true)
	return nil
}

// expired gives the drop up, and is the answer.
func (d *drop) expired() *messages.Failure {
	d.state.CompareAndSwap(dropWaits, dropGivenUp)
	return messages.Failf(messages.Code_CODE_DEADLINE_EXCEEDED, "drop expired before its turn among the runs; the table is as it was").
		Of(d.cell.name).Advise("send again with more time")
}

// lastBackup backs the table up in a run of its own, with a pin.
func (d *drop) lastBackup(ctx context.Context) error {
	t := d.tree
	replier := t.repliers.get()
	asker := &request{out: t.outbox, sender: replier.pid}
	last := &lastRun{turn: d.turn}
	if failure := t.runner.queueUp(&messages.BackupAll{Tables: []string{d.cell.name}, Label: "before drop", Pin: true}, asker, last); failure != nil {
		asker.answer(failure)
	}
	defer context.AfterFunc(d.patience, func() {
		if d.state.CompareAndSwap(dropWaits, dropGivenUp) {
			t.runner.withdraw(last)
			asker.answer(d.expired())
		}
	})()
	reply, err := replier.await(ctx, nil)
	if err != nil {
		return err
	}
	switch m := reply.(type) {
	case *messages.BackupReport:
		for _, result := range m.GetSet().GetResults() {
			if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
				return result.GetFailure()
			}
		}
		return nil
	case *messages.Failure:
		return m
	}
	return fmt.Errorf("last backup was answered with %T: %w", reply, messages.ErrInternal)
}
