package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/store"
)

const (
	// patience is how long demo waits for a directory that is held: a reader is soon gone.
	patience = 3 * time.Second
	// stopTimeout bounds the end of a command whose disk hangs.
	stopTimeout = 30 * time.Second
)

// read calls use with access to the directory, through the server that holds it or read-only in place, where the
// tables named, or all, are served.
func (p *place) read(ctx context.Context, tables []string, use func(*ops.Session) error) error {
	return p.open(ctx, ops.OpenOptions{Tables: tables}, use)
}

// readTable is read for one table.
func (p *place) readTable(ctx context.Context, name string, use func(ops.TableAccess) error) error {
	if err := messages.CheckTableName(name); err != nil {
		return err
	}
	return p.read(ctx, []string{name}, func(s *ops.Session) error { return use(s.Table(name)) })
}

// fromBackup are the flags of a command that reads a table, or a backup of it.
type fromBackup struct {
	cmd *cobra.Command
	id  string
	red bool
}

func (f *fromBackup) addFlags(cmd *cobra.Command) {
	f.cmd = cmd
	cmd.Flags().StringVar(&f.id, "backup", "", "read `BACKUP` in place of the table, by the name that gabion backups prints, or its number")
	cmd.Flags().BoolVar(&f.red, "red", false, "read the --backup even if it is red, as far as it can be read")
}

// readFrom is readTable, or the same for a backup of the table.
func (p *place) readFrom(ctx context.Context, name string, from fromBackup, use func(ops.ReadAccess) error) error {
	if err := nonEmpty(from.cmd, "backup"); err != nil {
		return err
	}
	if from.id == "" {
		if from.red {
			return usagef("name the backup with --backup", "--red is about a backup, and none is named")
		}
		return p.readTable(ctx, name, func(t ops.TableAccess) error { return use(t) })
	}
	if err := messages.CheckTableName(name); err != nil {
		return err
	}
	return p.open(ctx, ops.OpenOptions{Alone: true}, func(s *ops.Session) error {
		b, closeBackup, err := s.OpenBackup(ctx, name, from.id, from.red)
		if err != nil {
			return err
		}
		return errors.Join(use(b), closeBackup())
	})
}

// writeTable is readTable for changes.
func (p *place) writeTable(ctx context.Context, name string, use func(ops.TableAccess) error) error {
	if err := messages.CheckTableName(name); err != nil {
		return err
	}
	return p.open(ctx, ops.OpenOptions{Tables: []string{name}, Write: true},
		func(s *ops.Session) error { return use(s.Table(name)) })
}

func (p *place) open(ctx context.Context, o ops.OpenOptions, use func(*ops.Session) error) error {
	named := p.named
	if o.Alone {
		named = p.backupsNamed
	}
	if err := named(); err != nil {
		return err
	}
	o.Dir, o.BackupDir, o.DirMode = p.dir, p.backupDir, p.mode
	s, err := ops.Open(ctx, o)
	if err != nil {
		return err
	}
	err = use(s)
	// Also when ctx has ended: that is what a Ctrl-C does.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(err, s.Close(stopping))
}

// dial calls use with a client of the server that holds the directory. why says what the command is without one.
func (p *place) dial(ctx context.Context, why string, use func(*ops.Client) error) error {
	if err := p.named(); err != nil {
		return err
	}
	client, err := ops.Dial(ctx, p.dir)
	if errors.Is(err, ops.ErrNoServer) {
		return messages.WithHint(err, why+"; start one with gabion serve, or let the host call ops.ListenSocket")
	}
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.CheckBackupDir(p.backupDir); err != nil {
		return err
	}
	return use(client)
}

// patiently calls try until the directory is no longer held, or patience ends.
func patiently(ctx context.Context, try func() error) error {
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

// stop stops g even when ctx has ended: that is what a Ctrl-C does.
func stop(ctx context.Context, g *actors.Gabion) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return g.Stop(ctx)
}

// quietSystem is an actor system that logs nothing: stderr is for people here.
func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}))
}
