package gabiontest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

// An example has no test, so it uses New.
func Example() {
	k, err := gabiontest.New(actors.Config{Tables: []string{"task_queue"}})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	ctx, key := context.Background(), []byte("task 1")

	_, err = k.Gabion().Table("task_queue").Put(ctx, key, []byte("water the plants"))
	fmt.Println("put:", err)
	k.Crash()
	value, _ := k.Gabion().Table("task_queue").Get(ctx, key)
	fmt.Printf("after a power loss: %s\n", value)

	heal := k.FailWrites("task_queue")
	_, err = k.Gabion().Table("task_queue").Put(ctx, key, []byte("feed the cat"))
	// Where the put itself met the disk, errors.Is(err, messages.ErrOutcomeUnknown) is true as well.
	fmt.Println("on a disk that fails: unavailable:", errors.Is(err, messages.ErrUnavailable))
	heal()
	k.WaitState("task_queue", messages.TableState_TABLE_STATE_OPEN, 10*time.Second)

	k.PanicOwner("task_queue")
	if _, err := k.Gabion().BackupAll(ctx); err != nil {
		log.Fatal(err)
	}
	event := gabiontest.Wait[*messages.BackupComplete](k, 10*time.Second)
	fmt.Println("backed up:", len(event.GetBackedUp()), "failed:", len(event.GetFailed()))

	// Output:
	// put: <nil>
	// after a power loss: water the plants
	// on a disk that fails: unavailable: true
	// backed up: 1 failed: 0
}

func TestPowerLoss(t *testing.T) {
	k := gabiontest.Start(t, "task_queue", "mailbox")
	if _, err := k.Gabion().Table("mailbox").Put(t.Context(), []byte("agent-7"), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	k.Crash()
	letter, err := k.Gabion().Table("mailbox").Get(t.Context(), []byte("agent-7"))
	if err != nil || string(letter) != "hello" {
		t.Errorf("after a power loss: %q, %v", letter, err)
	}
}

func TestMonthOfBackups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := gabiontest.StartConfig(t, actors.Config{Tables: []string{"task_queue"}, Interval: 24 * time.Hour})
		for day := range 30 {
			event := gabiontest.Wait[*messages.BackupComplete](k, 24*time.Hour+time.Minute)
			if len(event.GetFailed()) > 0 {
				t.Errorf("day %d: %v", day, event.GetFailed())
			}
		}
	})
}
