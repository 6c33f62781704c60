package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabiondb/gabion/messages"
)

// command gives a table's keeper a command and waits until it is done.
func (t *tree) command(ctx context.Context, table string, want commandKind) error {
	c, failure := t.find(table)
	if failure != nil {
		return failure
	}
	return c.ask(ctx, want)
}

// openTable opens a table, also one that lies on disk and that nobody has asked for yet.
func (t *tree) openTable(ctx context.Context, table string) error {
	if _, err := t.findOnDisk(ctx, table); err != nil {
		return err
	}
	return t.command(ctx, table, openCommand)
}

// findOnDisk is find, also for a table that lies on disk and that nobody has asked for yet: from here on it is one of those that
// are served, and closed.
func (t *tree) findOnDisk(ctx context.Context, table string) (*cell, error) {
	c, failure := t.find(table)
	if failure == nil {
		return c, nil
	}
	if err := messages.CheckTableName(table); err != nil {
		return nil, err
	}
	has, err := patient(t.tables.of(table), listTimeout, func() (bool, error) { return t.directory.Has(table) })
	if err != nil {
		return nil, err
	}
	if !has {
		return nil, failure
	}
	m, err := t.adopt(ctx, table)
	if err != nil {
		return nil, err
	}
	m.found.Store(true)
	m.hidden.Store(false)
	t.scheduler.serve()
	return m.cell, nil
}

// createTable makes an empty table and serves it.
func (t *tree) createTable(ctx context.Context, m *messages.CreateTable) error {
	table := m.GetTable()
	if err := messages.CheckTableName(table); err != nil {
		return err
	}
	if t.config.ReadOnly {
		return readOnlyFailure()
	}
	if err := t.checkNew(table, m.GetCreateEmpty()); err != nil {
		return err
	}
	for {
		created, err := t.adopt(ctx, table)
		if err == nil {
			err = created.ask(ctx, createCommand)
		}
		switch {
		case err == nil:
			t.scheduler.serve()
			return nil
		case created == nil || !created.dropped.Load():
			return err
		}
		// Somebody made it, and dropped it meanwhile.
	}
}

// checkNew returns why a table must not be made empty.
func (t *tree) checkNew(table string, createEmpty bool) error {
	exists := messages.Failf(messages.Code_CODE_ALREADY_EXISTS, "table exists already").Of(table).
		Advise("ListTables tells its state")
	if _, failure := t.find(table); failure == nil {
		return exists
	}
	type found struct{ has, dropped bool }
	onDisk, err := patient(t.tables.of(table), listTimeout, func() (found, error) {
		has, err := t.directory.Has(table)
		undo, errUndo := t.directory.Undo(table)
		return found{has, len(undo) > 0}, errors.Join(err, errUndo)
	})
	backedUp, errBackups := patient(&t.listing, listTimeout, func() (bool, error) { return t.backups.Has(table) })
	err = errors.Join(err, errBackups)
	const hint = "restore it from a backup, or create it empty all the same with create_empty, or --create-empty"
	switch {
	case err != nil:
		return fmt.Errorf("find out whether the table exists: %w", err)
	case onDisk.has:
		return exists.Advise("open it with OpenTable, or gabion tables open")
	case onDisk.dropped && !createEmpty:
		return messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "table was dropped, and its data is kept").Of(table).Advise(hint)
	case backedUp && !createEmpty:
		return messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "table is missing, but backups of it exist").Of(table).Advise(hint)
	}
	return nil
}

// adopt returns the member of a table, with an owner; a new one is closed and hidden.
func (t *tree) adopt(ctx context.Context, table string) (*member, error) {
	if m := t.members.find(table); m != nil && !m.dropped.Load() {
		return m, nil
	}
	c := newCell(t, table)
	c.state = messages.TableState_TABLE_STATE_CLOSED
	c.hidden.Store(true)
	a := &adoption{member: &member{cell: c, mailbox: newMailbox(c.outbox, table)}, done: make(chan error, 1)}
	t.system.Root.Send(t.supervisor.Load(), a)
	select {
	case err := <-a.done:
		if err != nil {
			return nil, err
		}
		return a.member, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func readOnlyFailure() *messages.Failure {
	return messages.Failf(messages.Code_CODE_PERMISSION_DENIED, "directory is open for reading only").
		Advise("ask the host that serves the directory")
}
