package actors

import (
	"context"
	"errors"
	"fmt"
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
