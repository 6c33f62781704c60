package ops_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/ops"
)

// A host opens the socket with one call. Another process of the same user would do what follows.
func ExampleListenSocket() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "gabion-example-")
	defer os.RemoveAll(dir)
	system := actor.NewActorSystem()
	defer system.Shutdown()
	g, err := actors.Start(ctx, system, actors.Config{Dir: dir, Tables: []string{"tasks"}})
	if err != nil {
		log.Fatal(err)
	}
	defer g.Stop(ctx)
	socket, err := ops.ListenSocket(ctx, g, ops.SocketOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer socket.Close(ctx)

	client, err := ops.Dial(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	seq, err := client.Table("tasks").Put(ctx, []byte("1"), []byte("water the plants"))
	fmt.Println("put:", seq, err)
	task, err := client.Table("tasks").Get(ctx, []byte("1"))
	fmt.Printf("get: %s, %v\n", task, err)
	// Output:
	// put: 1 <nil>
	// get: water the plants, <nil>
}
