package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/store"
)

const (
	// dirVariable names the directory when --dir does not.
	dirVariable = "GABION_DIR"
	// patience is how long a command waits for a directory that is held: another reader is soon gone.
	patience = 3 * time.Second
	// stopTimeout bounds the end of a command whose disk hangs.
	stopTimeout = 30 * time.Second
)

// place is the directory that a command reads.
type place struct {
	dir       string
	backupDir string
}

func (p *place) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.dir, "dir", "", "tables lie in `DIR` (default $"+dirVariable+")")
	cmd.Flags().StringVar(&p.backupDir, "backup-dir", "", "backups lie in `DIR` (default backups in --dir)")
}

// read starts a Gabion read-only in place, with the tables named or with all that lie in the directory, calls
// use, and stops it.
func (p *place) read(ctx context.Context, tables []string, use func(*actors.Gabion) error) error {
	if p.dir == "" {
		p.dir = os.Getenv(dirVariable)
	}
	if p.dir == "" {
		return usagef("add --dir DIR, or set "+dirVariable, "no directory given")
	}
	if err := checkUser(p.dir); err != nil {
		return err
	}
	var g *actors.Gabion
	err := patiently(ctx, func() (err error) {
		g, err = actors.Start(ctx, quietSystem(), actors.Config{
			Dir: p.dir, BackupDir: p.backupDir, Tables: tables, ReadOnly: true, DisableSchedule: true,
		})
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(use(g), stop(ctx, g))
}

// readTable is read for one table.
func (p *place) readTable(ctx context.Context, name string, use func(*actors.Table) error) error {
	return p.read(ctx, []string{name}, func(g *actors.Gabion) error { return use(g.Table(name)) })
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
