package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// Letters by receiver and time, and how many each receiver has had.
func ExampleTyped() {
	ctx := context.Background()
	system := actor.NewActorSystem()
	defer system.Shutdown()
	// In memory, for the example; FS is the disk when it is left out.
	g, err := actors.Start(ctx, system, actors.Config{Dir: "/data", Tables: []string{"letters", "received"}, FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = g.Stop(ctx) }()

	type letter struct{ From, Text string }
	byTime := actors.NewPairKey(actors.StringKey[string]{}, actors.TimeKey{})
	letters := actors.NewTyped(g.Table("letters"), byTime, actors.JSON[letter]{})
	received := actors.NewTyped(g.Table("received"), actors.StringKey[string]{}, actors.JSON[int]{})

	noon := time.Date(2026, 2, 11, 12, 0, 0, 0, time.UTC)
	for i, text := range []string{"hello", "are you there?", "good night"} {
		key := actors.PairOf("agent-7", noon.Add(time.Duration(i)*time.Hour))
		if _, err := letters.Put(ctx, key, letter{From: "agent-1", Text: text}); err != nil {
			log.Fatal(err)
		}
		// Read, change, write: again from the start when somebody else was faster.
		n, err := received.Update(ctx, "agent-7", func(n int, found bool) (int, error) { return n + 1, nil })
		fmt.Println("received:", n, err)
	}

	// The last two letters of one agent, newest first.
	for row, err := range letters.Scan(ctx, byTime.Prefix("agent-7").Reverse().Limit(2)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row.Key.Second.Format(time.TimeOnly), row.Value.Text)
	}
	_, err = received.Get(ctx, "agent-8")
	fmt.Println(errors.Is(err, messages.ErrNotFound))

	// Output:
	// received: 1 <nil>
	// received: 2 <nil>
	// received: 3 <nil>
	// 14:00:00 good night
	// 13:00:00 are you there?
	// true
}

// A key that is a struct of the program's own has a codec made of those of its parts.
func ExampleKeyCodec() {
	codec := taskKeys{}
	b, err := codec.AppendKey(nil, taskKey{queue: "mail", number: 258})
	fmt.Printf("% x, %v\n", b, err)
	key, err := codec.DecodeKey(b)
	fmt.Printf("%+v, %v\n", key, err)

	// Output:
	// 6d 61 69 6c 00 01 00 00 00 00 00 00 01 02, <nil>
	// {queue:mail number:258}, <nil>
}

type taskKey struct {
	queue  string
	number uint64
}

type taskKeys struct{}

func (taskKeys) parts() actors.PairKey[string, uint64] {
	return actors.NewPairKey(actors.StringKey[string]{}, actors.UintKey[uint64]{})
}

func (k taskKeys) AppendKey(buf []byte, key taskKey) ([]byte, error) {
	return k.parts().AppendKey(buf, actors.PairOf(key.queue, key.number))
}

func (k taskKeys) DecodeKey(b []byte) (taskKey, error) {
	pair, err := k.parts().DecodeKey(b)
	return taskKey{queue: pair.First, number: pair.Second}, err
}
