package gabiontest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Kit is a Gabion in memory, the actor system it lives in, and the Disk under it, whose methods are the Kit's
// own. Gabion, System, PanicOn and the faults of the Disk may be called from any goroutine; what can
// fail (Restart, Crash, CrashPartly, PanicOwner, Wait, WaitState) from the test's alone, as it ends the test with
// Fatalf. Without a test, it panics.
type Kit struct {
	*Disk
	t      testing.TB // nil for New
	config actors.Config
	system *actor.ActorSystem
	events recorder
	panics panics
	gabion atomic.Pointer[actors.Gabion]
	// silent, once set, ends what the present Gabion logs.
	silent atomic.Pointer[atomic.Bool]
	// letters tells that the framework holds a goroutine for a dead letter, for as long as throttle.
	letters atomic.Bool
	close   func() error
}

// throttle is how long the framework keeps a goroutine after a dead letter.
const throttle = time.Millisecond

// Start starts a Gabion that serves the given tables and backs nothing up by itself. It is stopped when the test
// ends. What it logs, from Info on, is shown when the test fails.
func Start(t testing.TB, tables ...string) *Kit {
	t.Helper()
	return StartConfig(t, actors.Config{Tables: tables})
}

// StartConfig is Start with a configuration. The files lie in memory: FS must be nil. An empty Dir is
// /gabion; the parents of Dir and BackupDir are made. With neither Interval nor Cron nothing is scheduled. A nil
// Logger logs to the test.
func StartConfig(t testing.TB, config actors.Config) *Kit {
	t.Helper()
	logs := &output{to: t.Output()}
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(logs, nil))
	}
	framework := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	k, err := newKit(t, config, framework)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		logs.close()
	})
	return k
}

// New is StartConfig without a test, for examples. It logs only to config.Logger. The caller calls Close.
func New(config actors.Config) (*Kit, error) {
	return newKit(nil, config, slog.New(slog.DiscardHandler))
}

// newKit gives framework what the actor system logs.
func newKit(t testing.TB, config actors.Config, framework *slog.Logger) (*Kit, error) {
	if config.FS != nil {
		return nil, fmt.Errorf("start kit: FS is set, but the files of a Kit lie in memory: %w", messages.ErrInvalid)
	}
	if config.Dir == "" {
		config.Dir = "/gabion"
	}
	if config.Interval == 0 && config.Cron == "" {
		config.DisableSchedule = true
	}
	if config.DrillEvery == 0 {
		config.DisableDrill = true
	}
	k := &Kit{Disk: NewDisk(), t: t}
	if err := makeParents(k.FS(), config.Dir, config.BackupDir); err != nil {
		return nil, fmt.Errorf("start kit: %w", err)
	}
	config.Middleware = append([]actor.ReceiverMiddleware{k.panics.receive}, config.Middleware...)
	k.config = config
	k.system = actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return framework }),
		actor.WithDeadLetterThrottleInterval(throttle))
	k.events.changed = make(chan struct{})
	k.system.EventStream.Subscribe(k.events.record)
	k.system.EventStream.Subscribe(func(event any) {
		if _, ok := event.(*actor.DeadLetterEvent); ok {
			k.letters.Store(true)
		}
	})
	k.close = sync.OnceValue(k.shutdown)
	if err := k.start(); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// makeParents makes what Gabion wants to be there, and durable.
func makeParents(fs vfs.FS, paths ...string) error {
	for _, path := range paths {
		var parents []string
		for parent := fs.PathDir(path); parent != "/" && parent != "."; parent = fs.PathDir(parent) {
			parents = append(parents, parent)
		}
		for _, parent := range slices.Backward(parents) {
			if err := store.MkdirDurably(fs, parent); err != nil {
				return err
			}
		}
	}
	return nil
}

// Gabion is the one that runs now. Restart and Crash replace it, and with it its Tables; the PIDs of its
// owners stay the same.
func (k *Kit) Gabion() *actors.Gabion { return k.gabion.Load() }

// System is the actor system, for the program's own actors. It lives as long as the Kit: Restart and Crash end the
// actors of Gabion alone.
func (k *Kit) System() *actor.ActorSystem { return k.system }

// Close heals every fault and stops Gabion and the actor system. Calling it again returns the same.
// StartConfig leaves it to the end of the test.
func (k *Kit) Close() error { return k.close() }

func (k *Kit) shutdown() (err error) {
	k.healAll()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if g := k.Gabion(); g != nil {
		if err = g.Stop(ctx); err != nil {
			err = fmt.Errorf("stop gabion: %w", err)
		}
	}
	k.system.Shutdown()
	if k.letters.Load() {
		// A bubble ends only after each of its goroutines, and moves its time for nobody but this one.
		time.Sleep(throttle)
	}
	return err
}

// helper marks the caller as a helper of the test.
func (k *Kit) helper() {
	if k.t != nil {
		k.t.Helper()
	}
}

// fail ends the test, or panics where there is none.
func (k *Kit) fail(format string, args ...any) {
	if k.t == nil {
		panic("gabiontest: " + fmt.Sprintf(format, args...))
	}
	k.t.Helper()
	k.t.Fatalf(format, args...)
}
