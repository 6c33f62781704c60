package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

// service answers the RPCs of GabionService.
type service struct {
	gabion *actors.Gabion
	info   *messages.InfoResponse
	logger *slog.Logger
	rooms  *rooms
	// ending is cancelled when the service ends: what could take long is answered UNAVAILABLE then.
	ending context.Context
}

var _ messagesconnect.GabionServiceHandler = (*service)(nil)

// newService makes the service of a Gabion, which begins now.
func newService(ending context.Context, g *actors.Gabion, logger *slog.Logger) *service {
	return &service{gabion: g, logger: logger, ending: ending, info: &messages.InfoResponse{
		Version: moduleVersion(), ProtocolMajor: protocolMajor, ProtocolMinor: protocolMinor,
		Dir: messages.Text(g.Dir()), BackupDir: messages.Text(g.BackupDir()), Started: timestamppb.Now(), Rules: g.Rules(),
	}}
}

// handler answers the RPCs.
func (s *service) handler(b bounds) http.Handler {
	s.rooms = newRooms(b.rooms)
	mux := http.NewServeMux()
	mux.Handle(messagesconnect.NewGabionServiceHandler(s,
		connect.WithConditionalHandlerOptions(func(spec connect.Spec) []connect.HandlerOption {
			// What comes is bounded before it comes here; a limit of Connect's would only say so with less.
			return []connect.HandlerOption{unpacking(b.requestLimit(spec.Procedure))}
		}),
		connect.WithCodec(codec{"proto"}), connect.WithCodec(codec{"json"}), connect.WithCodec(codec{"json; charset=utf-8"}),
		connect.WithCompressMinBytes(large),
		connect.WithInterceptors(protocolInterceptor{}, sparing{s.rooms}),
		connect.WithRecover(func(_ context.Context, spec connect.Spec, _ http.Header, reason any) error {
			return toConnect(s.recovered(spec.Procedure, reason))
		})))
	return s.spared(b, mux)
}

// Info implements messagesconnect.GabionServiceHandler.
func (s *service) Info(context.Context, *messages.InfoRequest) (*messages.InfoResponse, error) {
	return s.info, nil
}

// Put implements messagesconnect.GabionServiceHandler.
func (s *service) Put(ctx context.Context, m *messages.PutRequest) (*messages.Committed, error) {
	return s.commit(ctx, m.GetTable(), m.GetPut().GetDeadline(), cmp.Or(m.GetPut(), &messages.Put{}))
}

// Delete implements messagesconnect.GabionServiceHandler.
func (s *service) Delete(ctx context.Context, m *messages.DeleteRequest) (*messages.Committed, error) {
	return s.commit(ctx, m.GetTable(), m.GetDelete().GetDeadline(), cmp.Or(m.GetDelete(), &messages.Delete{}))
}

// DeleteRange implements messagesconnect.GabionServiceHandler.
func (s *service) DeleteRange(ctx context.Context, m *messages.DeleteRangeRequest) (*messages.Committed, error) {
	return s.commit(ctx, m.GetTable(), m.GetDeleteRange().GetDeadline(), cmp.Or(m.GetDeleteRange(), &messages.DeleteRange{}))
}

// Write implements messagesconnect.GabionServiceHandler.
func (s *service) Write(ctx context.Context, m *messages.WriteRequest) (*messages.Committed, error) {
	return s.commit(ctx, m.GetTable(), nil, cmp.Or(m.GetWrite(), &messages.Write{}))
}

func (s *service) commit(ctx context.Context, table string, deadline *timestamppb.Timestamp, m proto.Message) (*messages.Committed, error) {
	ctx, cancel := until(ctx, deadline)
	defer cancel()
	return s.gabion.Table(table).Commit(ctx, m)
}

// until bounds ctx by a request's deadline, where it has one.
func until(ctx context.Context, deadline *timestamppb.Timestamp) (context.Context, context.CancelFunc) {
	if deadline == nil {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.AsTime())
}

// Get implements messagesconnect.GabionServiceHandler.
func (s *service) Get(ctx context.Context, m *messages.GetRequest) (*messages.Value, error) {
	ctx, cancel := until(ctx, m.GetGet().GetDeadline())
	defer cancel()
	if m.GetBackup() != nil {
		return s.getFrom(ctx, m)
	}
	value, err := s.gabion.Table(m.GetTable()).Get(ctx, m.GetGet().GetKey())
	var failure *messages.Failure
	if errors.Is(err, messages.ErrNotFound) && !errors.As(err, &failure) {
		return &messages.Value{}, nil // the table is there, the key is not
	}
	return &messages.Value{Found: true, Value: value}, err
}

// Scan implements messagesconnect.GabionServiceHandler.
func (s *service) Scan(ctx context.Context, m *messages.ScanRequest) (*messages.Page, error) {
	if m.GetBackup() != nil {
		return s.scanFrom(ctx, m)
	}
	return s.gabion.Table(m.GetTable()).Scan(ctx, cmp.Or(m.GetScan(), &messages.Scan{}))
}

// Walk implements messagesconnect.GabionServiceHandler.
func (s *service) Walk(ctx context.Context, m *messages.WalkRequest, stream *connect.ServerStream[messages.Page]) error {
	if bad := cmp.Or(m.GetScan(), &messages.Scan{}).Check(); bad != nil {
		return bad.Of(m.GetTable())
	}
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	page, size := &messages.Page{}, 0
	send := func(key, value []byte) error {
		page.Entries = append(page.Entries, &messages.Entry{Key: key, Value: value})
		if size += len(key) + len(value); size < messages.MaxPage {
			return nil
		}
		full := page
		page, size = &messages.Page{}, 0
		return stream.Send(full)
	}
	var err error
	if m.GetBackup() != nil {
		err = s.opened(ctx, m.GetTable(), m.GetBackup(), func(b *actors.OpenedBackup) error { return b.Walk(ctx, m.GetScan(), send) })
	} else {
		err = s.gabion.Table(m.GetTable()).Walk(ctx, m.GetScan(), send)
	}
	if err == nil && len(page.GetEntries()) > 0 {
		err = stream.Send(page)
	}
	return s.orEnding(err)
}

// ListTables implements messagesconnect.GabionServiceHandler.
func (s *service) ListTables(ctx context.Context, _ *messages.ListTables) (*messages.TableList, error) {
	infos, err := s.gabion.ListTables(ctx)
	list := &messages.TableList{Tables: infos}
	if err != nil && len(infos) > 0 {
		list.Faults, err = []*messages.Failure{messages.FailureOf(err)}, nil
	}
	return list, err
}

// OpenTable implements messagesconnect.GabionServiceHandler.
func (s *service) OpenTable(ctx context.Context, m *messages.OpenTable) (*messages.TableList, error) {
	if err := s.gabion.OpenTable(ctx, m.GetTable()); err != nil {
		return nil, err
	}
	return s.one(ctx, m.GetTable())
}

// CloseTable implements messagesconnect.GabionServiceHandler.
func (s *service) CloseTable(ctx context.Context, m *messages.CloseTable) (*messages.TableList, error) {
	if err := s.gabion.CloseTable(ctx, m.GetTable()); err != nil {
		return nil, err
	}
	return s.one(ctx, m.GetTable())
}

// CreateTable implements messagesconnect.GabionServiceHandler.
func (s *service) CreateTable(ctx context.Context, m *messages.CreateTable) (*messages.TableList, error) {
	if err := s.gabion.CreateTable(ctx, m.GetTable(), m.GetCreateEmpty()); err != nil {
		return nil, err
	}
	return s.one(ctx, m.GetTable())
}

// RetryTable implements messagesconnect.GabionServiceHandler.
func (s *service) RetryTable(ctx context.Context, m *messages.RetryTable) (*messages.TableList, error) {
	if err := s.gabion.RetryTable(ctx, m.GetTable()); err != nil {
		return nil, err
	}
	return s.one(ctx, m.GetTable())
}

// DropTable implements messagesconnect.GabionServiceHandler.
func (s *service) DropTable(ctx context.Context, m *messages.DropTable) (*messages.TableList, error) {
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	if err := s.gabion.Drop(ctx, m); err != nil {
		return nil, s.orEnding(err)
	}
	return &messages.TableList{}, nil
}

// one is the state of one table.
func (s *service) one(ctx context.Context, table string) (*messages.TableList, error) {
	infos, err := s.gabion.ListTables(ctx)
	infos = slices.DeleteFunc(infos, func(info *messages.TableInfo) bool { return info.GetTable() != table })
	if len(infos) > 0 {
		err = nil // what else lies on disk is not asked for
	}
	return &messages.TableList{Tables: infos}, err
}

// BackupAll implements messagesconnect.GabionServiceHandler.
func (s *service) BackupAll(ctx context.Context, m *messages.BackupAll) (*messages.BackupReport, error) {
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	report, err := s.gabion.Backup(ctx, m)
	return report, s.orEnding(err)
}

// ListBackups implements messagesconnect.GabionServiceHandler.
func (s *service) ListBackups(ctx context.Context, m *messages.ListBackups) (*messages.BackupList, error) {
	return s.gabion.ListBackups(ctx, m.GetTables()...)
}

// ShowBackup implements messagesconnect.GabionServiceHandler.
func (s *service) ShowBackup(ctx context.Context, m *messages.ShowBackup) (*messages.BackupDetail, error) {
	return s.gabion.ShowBackup(ctx, m.GetTable(), m.GetBackupId())
}

// PruneBackups implements messagesconnect.GabionServiceHandler.
func (s *service) PruneBackups(ctx context.Context, m *messages.PruneBackups) (*messages.PruneReport, error) {
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	report, err := s.gabion.PruneBackups(ctx, m)
	return report, s.orEnding(err)
}

// ListHistory implements messagesconnect.GabionServiceHandler.
func (s *service) ListHistory(ctx context.Context, m *messages.ListHistory) (*messages.History, error) {
	return s.gabion.History(ctx, m)
}

// PinBackup implements messagesconnect.GabionServiceHandler.
func (s *service) PinBackup(ctx context.Context, m *messages.PinBackup) (*messages.BackupInfo, error) {
	return s.gabion.PinBackup(ctx, m)
}

// AcknowledgeLoss implements messagesconnect.GabionServiceHandler.
func (s *service) AcknowledgeLoss(ctx context.Context, m *messages.AcknowledgeLoss) (*messages.LossList, error) {
	losses, err := s.gabion.AcknowledgeLoss(ctx, m)
	return &messages.LossList{Losses: losses}, err
}

// ListLosses implements messagesconnect.GabionServiceHandler.
func (s *service) ListLosses(ctx context.Context, m *messages.ListLosses) (*messages.LossList, error) {
	losses, err := s.gabion.Losses(ctx, m)
	return &messages.LossList{Losses: losses}, err
}

// HealthMetrics implements messagesconnect.GabionServiceHandler.
func (s *service) HealthMetrics(ctx context.Context, _ *messages.HealthMetrics) (*messages.HealthReport, error) {
	return s.gabion.Health(ctx)
}

// Events implements messagesconnect.GabionServiceHandler.
func (s *service) Events(ctx context.Context, m *messages.EventsRequest, stream *connect.ServerStream[messages.LoggedEvent]) error {
	ctx, cancel := s.untilEnd(ctx)
	defer cancel()
	wanted := &messages.ListEvents{After: m.GetAfter(), Since: m.GetSince(), Limit: m.GetLimit()}
	if !m.GetFollow() {
		for event, err := range s.gabion.Events(ctx, wanted) {
			if err == nil {
				err = stream.Send(event)
			}
			if err != nil {
				return s.orEnding(err)
			}
		}
		return nil
	}
	for event, err := range s.gabion.FollowEvents(ctx, wanted) {
		if err != nil && ctx.Err() == nil {
			s.logger.Warn("event log cannot be read: who follows gets what is to come", "error", err)
			continue
		}
		if err == nil {
			err = stream.Send(event)
		}
		if err != nil {
			return s.orEnding(err)
		}
	}
	return errStopping()
}

// untilEnd is ctx, ended by the end of the service too.
func (s *service) untilEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ending, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// orEnding is err, or that the service ends where that is the reason.
func (s *service) orEnding(err error) error {
	if err == nil || s.ending.Err() == nil {
		return err
	}
	return errStopping()
}

func errStopping() error {
	return messages.Failf(messages.Code_CODE_UNAVAILABLE, "the server is stopping")
}

// recovered is what a request is answered on which the service panicked.
func (s *service) recovered(procedure string, reason any) error {
	s.logger.Error("request panicked", "procedure", procedure, "reason", fmt.Sprint(reason), "stack", string(debug.Stack()))
	return messages.Failf(messages.Code_CODE_INTERNAL, "the server panicked on the request: %v", reason)
}
