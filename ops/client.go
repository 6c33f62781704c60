package ops

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
	"github.com/gabiondb/gabion/store"
)

// Client speaks to the server of a directory. It is safe for concurrent use. Errors match the sentinels of package
// messages, as those of actors.Gabion do; a write that was sent and not answered matches messages.ErrOutcomeUnknown.
type Client struct {
	transport *http.Transport
	service   messagesconnect.GabionServiceClient
	info      *messages.InfoResponse
}

// dialTimeout is how long a server may take to say who it is.
const dialTimeout = 5 * time.Second

var errHungServer = messages.WithHint(fmt.Errorf("the server that holds the directory does not answer for %v: %w", dialTimeout, messages.ErrDeadline),
	"look at its process: it may be stopped, or its machine overloaded")

// Dial connects to the server that holds dir, and asks who it is. Where none listens the error matches ErrNoServer; a
// server of another protocol version is an error that says which side to upgrade.
func Dial(ctx context.Context, dir string) (*Client, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := &Client{transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return connectTo(ctx, path) },
		DisableCompression: true,
	}}
	// The host's name is not looked at.
	c.service = messagesconnect.NewGabionServiceClient(&http.Client{Transport: c.transport}, "http://gabion",
		connect.WithInterceptors(protocolInterceptor{}), connect.WithAcceptCompression("gzip", nil, nil))
	asking, cancel := context.WithTimeoutCause(ctx, dialTimeout, errHungServer)
	defer cancel()
	if c.info, err = c.service.Info(asking, &messages.InfoRequest{}); err != nil {
		err = fromConnect(asking, err, false)
	} else {
		err = checkProtocol(protocolMajor, uint64(c.info.GetProtocolMajor()))
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("dial: %w", err)
	}
	return c, nil
}

// Close closes the connections that no call uses.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Info returns what the server said of itself when Dial asked.
func (c *Client) Info() *messages.InfoResponse { return c.info }

// CheckBackupDir returns an error that matches messages.ErrInvalid unless dir is the directory in which the server has its
// backups, however it is written, or empty.
func (c *Client) CheckBackupDir(dir string) error {
	theirs := c.info.GetBackupDir()
	if dir == "" || theirs == "" { // an older server does not say
		return nil
	}
	fs := store.RealFS()
	if path, err := store.RealPath(fs, dir); err == nil && path == theirs {
		return nil
	}
	// A bind mount gives one directory two paths.
	if a, err := store.Identify(fs, dir); err == nil && a != nil {
		if b, err := store.Identify(fs, theirs); err == nil && a.GetDevice() == b.GetDevice() && a.GetInode() == b.GetInode() {
			return nil
		}
	}
	return messages.WithHint(fmt.Errorf("the server that holds %s has its backups in %s, not in %s: %w", c.info.GetDir(), theirs, dir, messages.ErrInvalid),
		"leave --backup-dir, GABION_BACKUP_DIR and backup_dir out to work on the server's backups; gabion verify, backups, diff of two backups, and get, scan and export --backup read others beside the server")
}

// ListTables returns the state of every table, by name.
func (c *Client) ListTables(ctx context.Context) ([]*messages.TableInfo, error) {
	list, err := c.service.ListTables(ctx, &messages.ListTables{})
	return list.GetTables(), errors.Join(fromConnect(ctx, err, false), messages.Faults(list.GetFaults()))
}

// OpenTable opens a closed table and waits until it serves, or has said why not.
func (c *Client) OpenTable(ctx context.Context, table string) error {
	_, err := c.service.OpenTable(ctx, &messages.OpenTable{Table: table})
	return fromConnect(ctx, err, false)
}

// CloseTable closes a table until OpenTable.
func (c *Client) CloseTable(ctx context.Context, table string) error {
	_, err := c.service.CloseTable(ctx, &messages.CloseTable{Table: table})
	return fromConnect(ctx, err, false)
}

// CreateTable makes an empty table and serves it; createEmpty, also one that backups know or that was dropped.
func (c *Client) CreateTable(ctx context.Context, table string, createEmpty bool) error {
	_, err := c.service.CreateTable(ctx, &messages.CreateTable{Table: table, CreateEmpty: createEmpty})
	return fromConnect(ctx, err, false)
}

// RetryTable opens a quarantined table again, and waits until it serves, or has said why not.
func (c *Client) RetryTable(ctx context.Context, table string) error {
	_, err := c.service.RetryTable(ctx, &messages.RetryTable{Table: table})
	return fromConnect(ctx, err, false)
}

// Drop takes a table out of service, after a last backup unless m says without. It goes on when ctx ends.
func (c *Client) Drop(ctx context.Context, m *messages.DropTable) error {
	_, err := c.service.DropTable(ctx, m)
	return fromConnect(ctx, err, false)
}

// Backup runs m and waits for the report. The run goes on when ctx ends.
func (c *Client) Backup(ctx context.Context, m *messages.BackupAll) (*messages.BackupReport, error) {
	report, err := c.service.BackupAll(ctx, m)
	return report, fromConnect(ctx, err, false)
}

// ListBackups lists the complete backups of all tables, or those named, and the sets.
func (c *Client) ListBackups(ctx context.Context, tables ...string) (*messages.BackupList, error) {
	list, err := c.service.ListBackups(ctx, &messages.ListBackups{Tables: tables})
	return list, fromConnect(ctx, err, false)
}

// ShowBackup returns all that is known of one complete backup.
func (c *Client) ShowBackup(ctx context.Context, table, id string) (*messages.BackupDetail, error) {
	detail, err := c.service.ShowBackup(ctx, &messages.ShowBackup{Table: table, BackupId: id})
	return detail, fromConnect(ctx, err, false)
}

// PruneBackups applies retention now and waits for what it did; with DryRun it removes nothing. It goes on when ctx ends.
func (c *Client) PruneBackups(ctx context.Context, m *messages.PruneBackups) (*messages.PruneReport, error) {
	report, err := c.service.PruneBackups(ctx, m)
	return report, fromConnect(ctx, err, false)
}

// PinBackup has retention keep a backup until it is unpinned, and returns the backup once that is durable.
func (c *Client) PinBackup(ctx context.Context, m *messages.PinBackup) (*messages.BackupInfo, error) {
	info, err := c.service.PinBackup(ctx, m)
	return info, fromConnect(ctx, err, false)
}

// AcknowledgeLoss takes note of losses, and returns them once that is durable.
func (c *Client) AcknowledgeLoss(ctx context.Context, m *messages.AcknowledgeLoss) ([]*messages.Loss, error) {
	list, err := c.service.AcknowledgeLoss(ctx, m)
	return list.GetLosses(), fromConnect(ctx, err, false)
}

// Losses returns what tables lost, newest first.
func (c *Client) Losses(ctx context.Context, m *messages.ListLosses) ([]*messages.Loss, error) {
	list, err := c.service.ListLosses(ctx, m)
	return list.GetLosses(), fromConnect(ctx, err, false)
}

// Health reports on every table, also on those that cannot answer.
func (c *Client) Health(ctx context.Context) (*messages.HealthReport, error) {
	report, err := c.service.HealthMetrics(ctx, &messages.HealthMetrics{})
	return report, fromConnect(ctx, err, false)
}

// Events yields the logged events that m asks for, oldest first.
func (c *Client) Events(ctx context.Context, m *messages.ListEvents) iter.Seq2[*messages.LoggedEvent, error] {
	return c.events(ctx, &messages.EventsRequest{After: m.GetAfter(), Since: m.GetSince(), Limit: m.GetLimit()})
}

// FollowEvents yields the logged events that m asks for, and then those to come. It ends with an error that matches
// messages.ErrUnavailable when the server stops.
func (c *Client) FollowEvents(ctx context.Context, m *messages.ListEvents) iter.Seq2[*messages.LoggedEvent, error] {
	return c.events(ctx, &messages.EventsRequest{After: m.GetAfter(), Since: m.GetSince(), Follow: true})
}

func (c *Client) events(ctx context.Context, m *messages.EventsRequest) iter.Seq2[*messages.LoggedEvent, error] {
	return func(yield func(*messages.LoggedEvent, error) bool) {
		enough := false
		stream, err := c.service.Events(ctx, m)
		err = receive(ctx, stream, err, func(event *messages.LoggedEvent) error {
			if enough = !yield(event, nil); enough {
				return context.Canceled
			}
			return nil
		})
		if err != nil && !enough {
			yield(nil, err)
		}
	}
}

// receive calls each for every message of a stream.
func receive[T any](ctx context.Context, stream *connect.ServerStreamForClient[T], err error, each func(*T) error) error {
	if err != nil {
		return fromConnect(ctx, err, false)
	}
	for stream.Receive() {
		if err := each(stream.Msg()); err != nil {
			// The rest of the stream is of no use, nor is what closing it says.
			_ = stream.Close()
			return err
		}
	}
	err = stream.Err()
	_ = stream.Close()
	return fromConnect(ctx, err, false)
}

// checkSize refuses what the server would refuse, before it is sent.
func checkSize(m proto.Message) error {
	if size := proto.Size(m); size > maxRequest {
		return messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "request has %d B, maximum is %d B", size, maxRequest).
			Advise("split the Write: it may hold up to 64 MiB of keys and values")
	}
	return nil
}
