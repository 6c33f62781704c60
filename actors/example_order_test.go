package actors_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// Messages to an owner's PID are in order among themselves, and so are the calls on a handle. A handle sees what a message
// wrote once that was answered.
func ExampleTable_Get_order() {
	ctx := context.Background()
	system := actor.NewActorSystem()
	defer system.Shutdown()
	g, err := actors.Start(ctx, system, actors.Config{Dir: "/data", Tables: []string{"tasks"}, FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = g.Stop(ctx) }()
	pid, handle := g.PID("tasks"), g.Table("tasks")

	// Both by message: the Get is received after the Put, and sees it.
	system.Root.Send(pid, &messages.Put{Key: []byte("1"), Value: []byte("by a message")})
	answer, err := system.Root.RequestFuture(pid, &messages.Get{Key: []byte("1")}, time.Minute).Result()
	fmt.Println(string(answer.(*messages.Value).GetValue()), err)

	// A message, then the handle: only after the answer.
	_, err = system.Root.RequestFuture(pid, &messages.Put{Key: []byte("2"), Value: []byte("answered")}, time.Minute).Result()
	fmt.Println(err)
	value, err := handle.Get(ctx, []byte("2"))
	fmt.Println(string(value), err)

	// The handle, then a message: its Put has returned, so everybody sees it.
	if _, err := handle.Put(ctx, []byte("3"), []byte("by the handle")); err != nil {
		log.Fatal(err)
	}
	answer, err = system.Root.RequestFuture(pid, &messages.Get{Key: []byte("3")}, time.Minute).Result()
	fmt.Println(string(answer.(*messages.Value).GetValue()), err)

	// Output:
	// by a message <nil>
	// <nil>
	// answered <nil>
	// by the handle <nil>
}
