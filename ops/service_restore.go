package ops

import (
	"cmp"
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// VerifyBackup implements messagesconnect.GabionServiceHandler.
func (s *service) VerifyBackup(ctx context.Context, m *messages.VerifyBackup, stream *connect.ServerStream[messages.VerifyUpdate]) error {
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	return s.orEnding(s.gabion.VerifyEach(ctx, m, stream.Send))
}

// RestoreTable implements messagesconnect.GabionServiceHandler.
func (s *service) RestoreTable(ctx context.Context, m *messages.RestoreTable, stream *connect.ServerStream[messages.RestoreUpdate]) error {
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	report, err := s.gabion.RestoreFollowed(ctx, m, func(p *messages.Progress) {
		// Who went away is told nothing any more.
		_ = stream.Send(&messages.RestoreUpdate{Update: &messages.RestoreUpdate_Progress{Progress: p}})
	})
	if err != nil {
		return s.orEnding(err)
	}
	return stream.Send(&messages.RestoreUpdate{Update: &messages.RestoreUpdate_Report{Report: report}})
}

// opened calls use with the backup that a request reads.
func (s *service) opened(ctx context.Context, table string, from *messages.FromBackup, use func(*actors.OpenedBackup) error) error {
	if err := messages.CheckTableName(table); err != nil {
		return err
	}
	b, err := s.gabion.OpenBackup(ctx, table, from.GetBackupId(), from.GetRed())
	if err != nil {
		return err
	}
	return errors.Join(use(b), b.Close())
}

// getFrom is Get from a backup.
func (s *service) getFrom(ctx context.Context, m *messages.GetRequest) (*messages.Value, error) {
	if bad := cmp.Or(m.GetGet(), &messages.Get{}).Check(); bad != nil {
		return nil, bad.Of(m.GetTable())
	}
	value := &messages.Value{}
	err := s.opened(ctx, m.GetTable(), m.GetBackup(), func(b *actors.OpenedBackup) error {
		found, err := b.Get(m.GetGet().GetKey())
		if errors.Is(err, messages.ErrNotFound) {
			return nil
		}
		value.Found, value.Value = err == nil, found
		return err
	})
	return value, err
}

// scanFrom is Scan of a backup.
func (s *service) scanFrom(ctx context.Context, m *messages.ScanRequest) (page *messages.Page, err error) {
	scan := cmp.Or(m.GetScan(), &messages.Scan{})
	if bad := scan.Check(); bad != nil {
		return nil, bad.Of(m.GetTable())
	}
	err = s.opened(ctx, m.GetTable(), m.GetBackup(), func(b *actors.OpenedBackup) error {
		page, err = b.Page(scan)
		return err
	})
	return page, err
}
