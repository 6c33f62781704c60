package actors_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// A host starts Gabion beside its own actors. Any actor sends Put, Write, Get and Scan to the PID of a table; code
// outside of actors calls the table's handle.
func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "gabion-example-")
	defer os.RemoveAll(dir)
	system := actor.NewActorSystem()
	defer system.Shutdown()

	g, err := actors.Start(ctx, system, actors.Config{Dir: dir, Tables: []string{"mailbox", "tasks"}})
	if err != nil {
		log.Fatal(err)
	}
	complete := make(chan *messages.BackupComplete, 1)
	system.EventStream.Subscribe(func(event any) {
		if e, ok := event.(*messages.BackupComplete); ok {
			complete <- e
		}
	})

	// An actor of the host. A write is answered after its fsync; a read sees every write sent before it.
	tasks, done := g.PID("tasks"), make(chan bool)
	system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		switch m := c.Message().(type) {
		case *actor.Started:
			c.Request(tasks, &messages.Put{Key: []byte("1"), Value: []byte("water the plants")})
			c.Request(tasks, &messages.Write{ // all of it or nothing
				Conditions: []*messages.Condition{messages.IfAbsent([]byte("2"))},
				Ops: []*messages.Op{
					messages.PutOp([]byte("2"), []byte("feed the cat")),
					messages.DeleteOp([]byte("1")),
				},
			})
			c.Request(tasks, &messages.Get{Key: []byte("2")})
		case *messages.Failure: // instead of any of the answers below
			log.Fatal(m, messages.Hints(m))
		case *messages.Committed:
			fmt.Println("durable, seq", m.GetSeq())
		case *messages.Value:
			fmt.Printf("task 2: %s\n", m.GetValue())
			c.Request(tasks, &messages.Scan{Limit: 10})
		case *messages.Page:
			fmt.Println("tasks left:", len(m.GetEntries()))
			close(done)
		}
	}))
	<-done

	// The handle, for everybody else.
	mailbox := g.Table("mailbox")
	_, err = mailbox.Put(ctx, []byte("agent-7"), []byte("hello"))
	fmt.Println("put:", err)
	letter, err := mailbox.Get(ctx, []byte("agent-7"))
	fmt.Printf("get: %s, %v\n", letter, err)

	if _, err := g.BackupAll(ctx); err != nil {
		log.Fatal(err)
	}
	event := <-complete
	fmt.Println("backed up:", len(event.GetBackedUp()), "failed:", len(event.GetFailed()))
	fmt.Println("stop:", g.Stop(ctx))

	// Output:
	// durable, seq 1
	// durable, seq 3
	// task 2: feed the cat
	// tasks left: 1
	// put: <nil>
	// get: hello, <nil>
	// backed up: 2 failed: 0
	// stop: <nil>
}
