package ops

import (
	"context"

	"github.com/gabiondb/gabion/messages"
)

// VerifyEach verifies the backups that m asks for, and hands each result to each as it comes, and progress in between. It ends
// with ctx, and with an error that each returns.
func (c *Client) VerifyEach(ctx context.Context, m *messages.VerifyBackup, each func(*messages.VerifyUpdate) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.service.VerifyBackup(ctx, m)
	return receive(ctx, stream, err, func(u *messages.VerifyUpdate) error {
		err := each(u)
		if err != nil {
			// Closing a stream would read it to its end.
			cancel()
		}
		return err
	})
}

// RestoreFollowed restores a table and waits for the report; tell is told the progress. It goes on when ctx ends.
func (c *Client) RestoreFollowed(ctx context.Context, m *messages.RestoreTable, tell func(*messages.Progress)) (*messages.RestoreReport, error) {
	var report *messages.RestoreReport
	stream, err := c.service.RestoreTable(ctx, m)
	err = receive(ctx, stream, err, func(u *messages.RestoreUpdate) error {
		if p := u.GetProgress(); p != nil {
			tell(p)
		} else {
			report = u.GetReport()
		}
		return nil
	})
	if err == nil && report == nil {
		err = messages.Failf(messages.Code_CODE_INTERNAL, "the server ended without a report").Of(m.GetTable())
	}
	return report, err
}
