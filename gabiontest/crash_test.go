package gabiontest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

// TestCrashLosesWhatIsNotSynced, unless chance keeps it.
func TestCrashLosesWhatIsNotSynced(t *testing.T) {
	for _, c := range []struct {
		crash func(*gabiontest.Kit)
		want  string
	}{
		{(*gabiontest.Kit).Crash, none},
		{func(k *gabiontest.Kit) { k.CrashPartly(0, 1) }, none},
		{func(k *gabiontest.Kit) { k.CrashPartly(100, 0) }, "value"},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := gabiontest.Start(t, "tasks")
			put(t, k, "tasks", "acknowledged", "value")
			heal := k.HangSyncs()
			answer := make(chan error, 1)
			go func() { answer <- tryPut(k, "tasks", "key", "value") }()
			synctest.Wait()
			c.crash(k)
			if err := <-answer; !errors.Is(err, messages.ErrUnavailable) || !errors.Is(err, messages.ErrOutcomeUnknown) {
				t.Errorf("put that a power loss met = %v", err)
			}
			heal()
			want(t, k, "tasks", "acknowledged", "value")
			want(t, k, "tasks", "key", c.want)
		})
	}
}

// TestCrashKeepsWhatIsAcknowledged by the instant of the power loss, and nothing is acknowledged after it.
func TestCrashKeepsWhatIsAcknowledged(t *testing.T) {
	k := gabiontest.StartConfig(t, actors.Config{Tables: []string{"tasks"}, MemTableBytes: 64 << 10})
	value := strings.Repeat("v", 1000)
	for round := range 20 {
		g := k.Gabion()
		var writers sync.WaitGroup
		var mu sync.Mutex
		var acknowledged []string
		begun := make(chan struct{}, 1000)
		for w := range 4 {
			writers.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprintf("%d %d %d", round, w, i)
					if _, err := g.Table("tasks").Put(context.Background(), []byte(key), []byte(value)); err != nil {
						return
					}
					mu.Lock()
					acknowledged = append(acknowledged, key)
					mu.Unlock()
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 10 * (round + 1) {
			<-begun
		}
		if round%2 == 0 {
			k.Crash()
		} else {
			k.CrashPartly(50, 0)
		}
		writers.Wait()
		for _, key := range acknowledged {
			if got := get(k, "tasks", key); got != value {
				t.Fatalf("round %d: %q was acknowledged, is %.40q", round, key, got)
			}
		}
	}
}

// TestCrashDuringBackup: a run that the power loss meets is not reported complete, and leaves no backup.
func TestCrashDuringBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := gabiontest.Start(t, "tasks")
		put(t, k, "tasks", "key", "value")
		reached := make(chan struct{})
		reach := sync.OnceFunc(func() { close(reached) })
		k.Hang(func(op gabiontest.Op) bool {
			hang := op.Backup && op.Kind == gabiontest.OpRename
			if hang {
				reach()
			}
			return hang
		})
		run := make(chan error, 1)
		go func() {
			report, err := k.Gabion().BackupAll(context.Background())
			if err == nil && report.GetSet().GetResults()[0].GetFailure() == nil {
				err = fmt.Errorf("complete: %v", report)
			}
			run <- err
		}()
		<-reached
		k.Crash()
		if err := <-run; err != nil && strings.Contains(err.Error(), "complete") {
			t.Error(err)
		}
		list, err := k.Gabion().ListBackups(t.Context())
		if err != nil || len(list.GetBackups()) != 0 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// TestDisk serves a program that starts Gabion itself: what runs on when the power is lost acknowledges nothing.
func TestDisk(t *testing.T) {
	disk := gabiontest.NewDisk()
	start := func(name string) (*actors.Gabion, func() error) {
		t.Helper()
		system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(slog.DiscardHandler)
		}))
		g, err := actors.Start(t.Context(), system, actors.Config{
			Name: name, Dir: "/hub", FS: disk.FS(), Tables: []string{"tasks"}, DisableSchedule: true})
		if err != nil {
			t.Fatal(err)
		}
		return g, func() error {
			defer system.Shutdown()
			return g.Stop(context.Background())
		}
	}
	dead, stopDead := start("dead")
	if _, err := dead.Table("tasks").Put(t.Context(), []byte("key"), []byte("value")); err != nil {
		t.Fatal(err)
	}
	disk.Crash()
	g, stop := start("again") // beside the dead one: the lock went with the power
	if _, err := dead.Table("tasks").Put(t.Context(), []byte("key"), []byte("late")); !errors.Is(err, messages.ErrOutcomeUnknown) {
		t.Errorf("put without power = %v", err)
	}
	if err := stopDead(); err == nil {
		t.Error("a stop without power gave up its lock")
	}
	value, err := g.Table("tasks").Get(t.Context(), []byte("key"))
	if err != nil || string(value) != "value" {
		t.Errorf("got %q, %v", value, err)
	}
	disk.Crash()
	disk.CrashPartly(50, 1)
	_ = stop()
	g, stop = start("third")
	if value, err := g.Table("tasks").Get(t.Context(), []byte("key")); err != nil || string(value) != "value" {
		t.Errorf("got %q, %v", value, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestPowerLossIsAnInstant: a Sync that succeeds beside the loss is of what is left, and a Link beside it stops nothing.
func TestPowerLossIsAnInstant(t *testing.T) {
	for range 200 {
		disk := gabiontest.NewDisk()
		fs := disk.FS()
		root, err := fs.OpenDir("/")
		if err != nil {
			t.Fatal(err)
		}
		var writers sync.WaitGroup
		var synced [4]int64
		begun := make(chan struct{}, len(synced))
		for w := range synced {
			name := fmt.Sprintf("/%d", w)
			file, err := fs.Create(name, vfs.WriteCategoryUnspecified)
			if err := errors.Join(err, root.Sync()); err != nil {
				t.Fatal(err)
			}
			writers.Go(func() {
				for i := int64(1); ; i++ {
					_, err := file.Write([]byte{1})
					if errors.Join(err, file.Sync()) != nil {
						return
					}
					synced[w] = i
					_ = fs.Link(name, fmt.Sprintf("%s-%d", name, i))
					if i == 3 {
						begun <- struct{}{}
					}
				}
			})
		}
		<-begun
		disk.Crash()
		writers.Wait()
		for w, n := range synced {
			info, err := disk.FS().Stat(fmt.Sprintf("/%d", w))
			if err != nil || info.Size() < n {
				t.Fatalf("%d bytes were synced, left is %v, %v", n, info, err)
			}
		}
	}
}
