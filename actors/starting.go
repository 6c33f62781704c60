package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

// openTree checks the configuration and opens the directories, until ctx ends. A call that hangs then is left behind; what
// it still gets is given free when the disk answers.
func openTree(ctx context.Context, system *actor.ActorSystem, config Config) (*tree, error) {
	type outcome struct {
		tree *tree
		err  error
	}
	outcomes, abandoned := make(chan outcome), make(chan struct{})
	go func() {
		var o outcome
		o.tree, o.err = checkedTree(system, config)
		select {
		case outcomes <- o:
		case <-abandoned:
			if o.tree != nil {
				o.err = o.tree.release()
			}
			config.Logger.Warn("start was given up while its directories hung: they are free now", "error", o.err)
		}
	}()
	select {
	case o := <-outcomes:
		return o.tree, o.err
	case <-ctx.Done():
	}
	// A little more time than ctx had, so that nothing stays held unless a disk hangs.
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case o := <-outcomes:
		if o.tree != nil {
			o.err = o.tree.release()
		}
		return nil, errors.Join(contextError(ctx), o.err)
	case <-grace.C:
		close(abandoned)
		return nil, messages.WithHint(fmt.Errorf("open directories: no answer yet: %w", contextError(ctx)),
			"the disk of the directory or of the backups hangs; what the start still locks is given free when it answers")
	}
}

func checkedTree(system *actor.ActorSystem, config Config) (t *tree, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			t, err = nil, fmt.Errorf("panicked: %v: %w", reason, messages.ErrInternal)
		}
	}()
	if err := config.validate(system); err != nil {
		return nil, err
	}
	return newTree(system, config)
}

func (t *tree) logStart() {
	open := 0
	for _, c := range t.members.list() {
		if c.serving.Load() != nil {
			open++
		}
	}
	next := slog.String("next_run", "none")
	if at := t.scheduler.next(); at != nil {
		next = slog.Time("next_run", at.AsTime())
	}
	t.config.Logger.Info("gabion started", "name", t.config.Name, "dir", t.directory.Path(),
		"backup_dir", t.backups.Path(), next, "keep", t.config.Keep, "tables", t.served(), "open", open)
	for _, name := range t.config.AtCut {
		if t.members.find(name) == nil {
			t.config.Logger.Warn("table is named at_cut and not served: it counts if such a table is made or opened", "table", name)
		}
	}
}

// logUnconfigured warns of what is neither served nor backed up. It waits for the disk.
func (t *tree) logUnconfigured() {
	unconfigured, err := t.unconfigured()
	if err != nil {
		t.config.Logger.Warn("tables on disk cannot be listed", "error", err)
	}
	for _, name := range unconfigured {
		t.config.Logger.Warn("table on disk is not configured: it is neither served nor backed up", "table", name)
	}
}
