package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabiondb/gabion/messages"
)

// prove verifies the newest backup of every table.
func (d *demo) prove(ctx context.Context) error {
	report, err := d.gabion.Verify(ctx, &messages.VerifyBackup{})
	if err != nil {
		return err
	}
	return errors.Join(d.tell.verified(report), unproven(report))
}

// restore deletes every row of a table by mistake, and gets them back from its backup.
func (d *demo) restore(ctx context.Context) error {
	rows, err := d.count(ctx)
	if err != nil {
		return err
	}
	if _, err := d.gabion.Table(channelHistory).DeleteRange(ctx, []byte{0}, []byte{0xff}); err != nil {
		return err
	}
	left, err := d.count(ctx)
	if err != nil {
		return err
	}
	report, err := d.gabion.RestoreTable(ctx, channelHistory)
	if err != nil {
		return err
	}
	if err := d.tell.restored(rows-left, report); err != nil {
		return err
	}
	if back, err := d.count(ctx); err != nil || back != rows {
		return fmt.Errorf("restore: table %q had %d rows and has %d: %w", channelHistory, rows, back, errors.Join(err, messages.ErrDataLoss))
	}
	return nil
}

// count counts the rows of the table that is restored.
func (d *demo) count(ctx context.Context) (rows int, err error) {
	err = d.gabion.Table(channelHistory).Walk(ctx, nil, func(_, _ []byte) error {
		rows++
		return nil
	})
	return rows, err
}
