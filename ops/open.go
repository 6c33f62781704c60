package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Access is what can be asked of a Gabion, wherever it runs. The methods are those of actors.Gabion.
type Access interface {
	// ListTables returns the state of every table, by name.
	ListTables(ctx context.Context) ([]*messages.TableInfo, error)
	// Backup runs m and waits for the report.
	Backup(ctx context.Context, m *messages.BackupAll) (*messages.BackupReport, error)
	// ListBackups lists the complete backups of all tables, or those named, and the sets.
	ListBackups(ctx context.Context, tables ...string) (*messages.BackupList, error)
	// ShowBackup returns all that is known of one complete backup.
	ShowBackup(ctx context.Context, table, id string) (*messages.BackupDetail, error)
	// PruneBackups applies retention now; with DryRun it removes nothing.
	PruneBackups(ctx context.Context, m *messages.PruneBackups) (*messages.PruneReport, error)
	// PinBackup has retention keep a backup until it is unpinned.
	PinBackup(ctx context.Context, m *messages.PinBackup) (*messages.BackupInfo, error)
	// AcknowledgeLoss takes note of losses, and returns them once that is durable.
	AcknowledgeLoss(ctx context.Context, m *messages.AcknowledgeLoss) ([]*messages.Loss, error)
	// Losses returns what tables lost, newest first.
	Losses(ctx context.Context, m *messages.ListLosses) ([]*messages.Loss, error)
	// CreateTable makes an empty table and serves it; createEmpty, also one that backups know or that was dropped.
	CreateTable(ctx context.Context, table string, createEmpty bool) error
	// Drop takes a table out of service, after a last backup unless m says without.
	Drop(ctx context.Context, m *messages.DropTable) error
	// VerifyEach verifies the backups that m asks for, and hands each result on as it comes, and progress in between.
	VerifyEach(ctx context.Context, m *messages.VerifyBackup, each func(*messages.VerifyUpdate) error) error
	// RestoreFollowed restores a table, and waits for the report.
	RestoreFollowed(ctx context.Context, m *messages.RestoreTable, tell func(*messages.Progress)) (*messages.RestoreReport, error)
	// Health reports on every table, also on those that cannot answer.
	Health(ctx context.Context) (*messages.HealthReport, error)
	// Events yields the logged events that m asks for, oldest first.
	Events(ctx context.Context, m *messages.ListEvents) iter.Seq2[*messages.LoggedEvent, error]
}

// ReadAccess is what can be read of a table, or of a backup of it.
type ReadAccess interface {
	// Get returns the value of key.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Scan returns one page.
	Scan(ctx context.Context, m *messages.Scan) (*messages.Page, error)
	// Walk calls each for every entry, as of one instant.
	Walk(ctx context.Context, m *messages.Scan, each func(key, value []byte) error) error
}

// TableAccess is what can be asked of a table. The methods are those of actors.Table.
type TableAccess interface {
	ReadAccess
	// Put stores value under key.
	Put(ctx context.Context, key, value []byte) (seq uint64, err error)
	// Delete removes key.
	Delete(ctx context.Context, key []byte) (seq uint64, err error)
	// Swap stores value under key and returns what key held before; found is false when it held nothing.
	Swap(ctx context.Context, key, value []byte) (previous []byte, found bool, err error)
	// Take removes key and returns what it held; found is false when it held nothing.
	Take(ctx context.Context, key []byte) (previous []byte, found bool, err error)
	// DeleteRange removes every key in [start, end).
	DeleteRange(ctx context.Context, start, end []byte) (seq uint64, err error)
	// Write carries out all ops or none.
	Write(ctx context.Context, m *messages.Write) (seq uint64, err error)
}

var (
	_ Access      = (*actors.Gabion)(nil)
	_ Access      = (*Client)(nil)
	_ TableAccess = (*actors.Table)(nil)
	_ TableAccess = (*ClientTable)(nil)
)

// patience is how long Open waits for a directory that is held, or for a table that its server is opening: another reader is
// soon gone, and a server that starts soon listens and serves.
const patience = 3 * time.Second

// OpenOptions configures Open.
type OpenOptions struct {
	// Dir holds the tables.
	Dir string
	// BackupDir holds the backups. Empty means Dir/backups, or those of the server that holds Dir. Where a server has another
	// one, Open fails with an error that matches messages.ErrInvalid: what it answered would be of other backups.
	BackupDir string
	// DirMode is actors.Config.DirMode, for what is made in place.
	DirMode fs.FileMode
	// Tables are those that are needed, all of which must exist. Empty means every table of the directory. A
	// server serves its own.
	Tables []string
	// Write opens in place for changes. Without it nothing is written in the directories.
	Write bool
	// Backups opens in place for work on the backups: for changes, and no table is served but those that are restored. Where
	// the disk of Dir is mounted for reading only, it opens without changes: backups are verified there, and no proof is kept.
	Backups bool
	// Alone says that the backups are enough. Where Dir is empty, or a server holds Dir and has other backups, BackupDir is
	// opened by itself: beside that server, in place, without a table.
	Alone bool
	// Rules are those of retention, as the host of the directory has them: Keep and what stands beside it. Without
	// Keep they are not known, and nothing is pruned. A server has its own.
	Rules *actors.Config
}

// Session is access to a directory: through the server that holds it, or in place.
type Session struct {
	Access
	client *Client
	local  *actors.Gabion
	system *actor.ActorSystem
	// scratch stands in for the directory of the tables, empty where there is one.
	scratch string
}

// Open gives access to a directory: through DIR/gabion.sock where a server holds it, else in place, without a
// schedule; for changes only for a user by CheckUser. No table and no directory is made. A directory that is held by a
// host without a socket is an error that matches store.ErrHeld and names the holder.
func Open(ctx context.Context, o OpenOptions) (s *Session, err error) {
	err = whileHeld(ctx, func() error {
		if o.Alone && o.Dir == "" {
			s, err = openAlone(ctx, o)
			return err
		}
		client, err := Dial(ctx, o.Dir)
		if err == nil {
			if err = client.CheckBackupDir(o.BackupDir); err != nil {
				client.Close()
				if o.Alone {
					s, err = openAlone(ctx, o)
				}
				return err
			}
			s = &Session{Access: client, client: client}
			return awaitOpening(ctx, client, o.Tables)
		}
		// The socket of another user's server may be what a killed one left: whether the directory is held says which.
		closed := errors.Is(err, os.ErrPermission)
		if !closed && !errors.Is(err, ErrNoServer) {
			return err
		}
		refused := err
		switch s, err = openInPlace(ctx, o); {
		case closed && errors.Is(err, store.ErrHeld):
			return refused
		case closed && errors.Is(err, os.ErrPermission):
			return errors.Join(refused, err) // whether a server holds it cannot be known
		}
		return err
	})
	if errors.Is(err, store.ErrHeld) {
		err = heldError{err}
	}
	return s, err
}

// whileHeld calls try until the directory is no longer held, or patience ends.
func whileHeld(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if !errors.Is(err, store.ErrHeld) || time.Now().After(deadline) {
			return err
		}
		// Readers that began together must not meet again and again.
		timer := time.NewTimer(20*time.Millisecond + rand.N(80*time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// awaitOpening waits until a server has opened the tables that are needed, or patience ends. Why one is not served is for
// the request to say.
func awaitOpening(ctx context.Context, client *Client, tables []string) error {
	for deadline := time.Now().Add(patience); len(tables) > 0 && time.Now().Before(deadline); {
		list, err := client.ListTables(ctx)
		if err != nil || !slices.ContainsFunc(list, func(t *messages.TableInfo) bool {
			return t.GetState() == messages.TableState_TABLE_STATE_OPENING && slices.Contains(tables, t.GetTable())
		}) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			client.Close()
			return context.Cause(ctx)
		}
	}
	return nil
}

// heldError is an error of a directory that a host holds without a socket.
type heldError struct{ error }

func (e heldError) Unwrap() error { return e.error }

// GetHint is what to do about it, for messages.Hints.
func (heldError) GetHint() string {
	return "commands go through a host that opens a socket: gabion serve without disable_socket, or ops.ListenSocket in a program"
}

func openInPlace(ctx context.Context, o OpenOptions) (*Session, error) {
	if err := checkOpening(o); err != nil {
		return nil, err
	}
	tables := o.Tables
	if o.Write || o.Backups {
		// A name that is only meant to be there would otherwise get an empty table, or an empty directory.
		var err error
		if tables, err = within(DiskLimit, o.Dir, func() ([]string, error) { return existing(o) }); err != nil {
			return nil, err
		}
	}
	if o.Backups {
		tables = nil
	}
	s := &Session{system: actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))}
	var err error
	config := actors.Config{
		Dir: o.Dir, BackupDir: o.BackupDir, DirMode: o.DirMode, Tables: tables, ReadOnly: !o.Write && !o.Backups, DisableSchedule: true, Visit: true,
	}
	if r := o.Rules; r != nil {
		config.Keep, config.KeepWithin = r.Keep, r.KeepWithin
		config.KeepHourly, config.KeepDaily, config.KeepWeekly, config.KeepMonthly = r.KeepHourly, r.KeepDaily, r.KeepWeekly, r.KeepMonthly
	}
	s.local, err = actors.Start(ctx, s.system, config)
	if o.Backups && store.MountedReadOnly(err) {
		config.ReadOnly = true
		s.local, err = actors.Start(ctx, s.system, config)
	}
	if err != nil {
		s.system.Shutdown()
		return nil, err
	}
	s.Access = s.local
	return s, nil
}

// checkOpening checks who opens both directories. A reader needs DIR alone: backups that cannot be read keep no table from it.
func checkOpening(o OpenOptions) error {
	if !o.Write && !o.Backups {
		return checkUsers(CheckReader, o.Dir)
	}
	change := func(dir string) error { return CheckUser(dir, o.DirMode) }
	if o.BackupDir != "" {
		return checkUsers(change, o.Dir, o.BackupDir)
	}
	// What is wrong with the one is wrong with what it holds.
	if err := checkUsers(change, o.Dir); err != nil {
		return err
	}
	return checkUsers(change, store.RealFS().PathJoin(o.Dir, store.BackupsDir))
}

// existing returns the tables that are needed, or that there are.
func existing(o OpenOptions) (_ []string, err error) {
	d, err := store.OpenDirectory(store.DirectoryOptions{FS: store.RealFS(), Path: o.Dir, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	there, err := d.Tables()
	if err != nil {
		return nil, err
	}
	if len(o.Tables) == 0 {
		return there, nil
	}
	return o.Tables, missing(o.Tables, there)
}

// Table returns a handle on a table.
func (s *Session) Table(name string) TableAccess {
	if s.client != nil {
		return s.client.Table(name)
	}
	return s.local.Table(name)
}

// OpenBackup opens a backup of a table for reading, by its name or its number alone; with an empty id the newest that is not
// red. One that is red needs red. close must be called.
func (s *Session) OpenBackup(ctx context.Context, table, id string, red bool) (b ReadAccess, close func() error, err error) {
	if err := messages.CheckTableName(table); err != nil {
		return nil, nil, err
	}
	if s.client != nil {
		t := s.client.Table(table)
		t.backup = &messages.FromBackup{BackupId: id, Red: red}
		// Of no row: whether it opens is to be known now, as in place.
		if _, err := t.Scan(ctx, &messages.Scan{Start: []byte{0}, End: []byte{0}, Limit: 1}); err != nil {
			return nil, nil, err
		}
		if id == "" {
			// One backup for all calls, whatever runs meanwhile: the one that a restore would choose.
			plan, err := s.RestoreFollowed(ctx, &messages.RestoreTable{Table: table, DryRun: true}, func(*messages.Progress) {})
			if err != nil {
				return nil, nil, err
			}
			t.backup.BackupId = plan.GetPlan().GetBackupId()
		}
		return t, func() error { return nil }, nil
	}
	opened, err := s.local.OpenBackup(ctx, table, id, red)
	if err != nil {
		return nil, nil, err
	}
	return localBackup{opened}, opened.Close, nil
}

// localBackup is a backup that is read in place.
type localBackup struct{ *actors.OpenedBackup }

// Its answers are those of a server.

func (b localBackup) Get(_ context.Context, key []byte) ([]byte, error) {
	if bad := (&messages.Get{Key: key}).Check(); bad != nil {
		return nil, bad.Of(b.Manifest().GetTable())
	}
	value, err := b.OpenedBackup.Get(key)
	if errors.Is(err, messages.ErrNotFound) {
		return nil, fmt.Errorf("get %q: %w", key, messages.ErrNotFound)
	}
	return value, err
}

func (b localBackup) Scan(_ context.Context, m *messages.Scan) (*messages.Page, error) {
	m = cmp.Or(m, &messages.Scan{})
	if bad := m.Check(); bad != nil {
		return nil, bad.Of(b.Manifest().GetTable())
	}
	return b.Page(m)
}

func (b localBackup) Walk(ctx context.Context, m *messages.Scan, each func(key, value []byte) error) error {
	if bad := cmp.Or(m, &messages.Scan{}).Check(); bad != nil {
		return bad.Of(b.Manifest().GetTable())
	}
	return b.OpenedBackup.Walk(ctx, m, each)
}

// Client is the connection to the server, nil in place.
func (s *Session) Client() *Client { return s.client }

// Close ends the access; in place it closes the tables and gives the directory free, bounded by ctx.
func (s *Session) Close(ctx context.Context) error {
	if s.client != nil {
		s.client.Close()
		return nil
	}
	if err := s.local.Stop(ctx); err != nil {
		return err
	}
	s.system.Shutdown()
	if s.scratch != "" {
		return store.RealFS().RemoveAll(s.scratch)
	}
	return nil
}

// missing returns an error for each of the tables that is not there.
func missing(tables, there []string) error {
	var errs []error
	for _, table := range tables {
		if !slices.Contains(there, table) {
			errs = append(errs, messages.WithHint(fmt.Errorf("table %q: %w", table, messages.ErrNotFound),
				"the directory has the tables "+strings.Join(there, ", ")))
		}
	}
	return errors.Join(errs...)
}
