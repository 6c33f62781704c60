package gabiontest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gabiondb/gabion/actors"
)

// patience bounds each start and stop of a Gabion, on the bubble's clock within a bubble.
const patience = time.Minute

// Restart stops Gabion as Stop does, and starts it again on the same files. Faults stay in force: while a
// disk hangs, it fails.
func (k *Kit) Restart() {
	k.helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := k.Gabion().Stop(ctx); err != nil {
		k.fail("restart: stop gabion: %v", err)
	}
	if err := k.start(); err != nil {
		k.fail("restart: %v", err)
	}
}

// Crash is what a power loss does: Gabion ends without an orderly stop, all that was not fsynced is lost, and
// Gabion starts again on the rest. Requests that wait are answered UNAVAILABLE. Faults stay in force. The Gabion that
// ends logs nothing from then on, as a process without power does not.
func (k *Kit) Crash() {
	k.helper()
	k.crash(k.Disk.Crash)
}

// CrashPartly is Crash, but about percent of the blocks and names that were not fsynced, drawn at random, outlive the
// power loss, as they may on a real disk. A seed of zero is drawn from the clock, and logged by the test.
func (k *Kit) CrashPartly(percent int, seed uint64) {
	k.helper()
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if k.t != nil {
		k.t.Logf("CrashPartly(%d, %d)", percent, seed)
	}
	k.crash(func() { k.Disk.CrashPartly(percent, seed) })
}

func (k *Kit) crash(loss func()) {
	k.helper()
	k.silent.Load().Store(true)
	loss()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Its other errors are those of a disk without power.
	if err := k.Gabion().Stop(ctx); ctx.Err() != nil {
		k.fail("crash: stop gabion: %v", err)
	}
	if err := k.start(); err != nil {
		k.fail("crash: %v", err)
	}
}

func (k *Kit) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	config := k.config
	config.FS = k.FS()
	silent := new(atomic.Bool)
	config.Logger = muted(config.Logger, silent)
	k.silent.Store(silent)
	g, err := actors.Start(ctx, k.system, config)
	if err != nil {
		return err
	}
	k.gabion.Store(g)
	return nil
}
