package ops_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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

// A host mounts the handler in a mux of its own, behind its own auth.
func ExampleNewHandler() {
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
	mux := http.NewServeMux()
	signedIn := func(next http.Handler) http.Handler { return next } // the host's auth

	handler, err := ops.NewHandler(g, ops.HandlerOptions{Prefix: "/ops/gabion", ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/ops/gabion/", signedIn(handler))
	server := httptest.NewUnstartedServer(mux)
	server.Config.RegisterOnShutdown(handler.Close) // streams of events would hold it up
	server.Start()
	defer server.Close()
	defer handler.Close()

	response, err := http.Get(server.URL + "/ops/gabion/readyz")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, err)
	fmt.Println(string(body))
	// Output:
	// 200 OK <nil>
	// {
	//   "ready": true,
	//   "checks": [
	//     {
	//       "name": "tables",
	//       "ok": true
	//     },
	//     {
	//       "name": "health",
	//       "ok": true
	//     },
	//     {
	//       "name": "backups",
	//       "ok": true
	//     },
	//     {
	//       "name": "proofs",
	//       "ok": true
	//     }
	//   ]
	// }
}

// A host adds the metrics of its Gabion to the registry that it serves. Those of the process are in there once, the host's own.
func ExampleNewCollector() {
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

	registry := prometheus.NewRegistry()

	registry.MustRegister(collectors.NewGoCollector()) // of the process, once
	collector := ops.NewCollector(g)                   // close it before g stops
	registry.MustRegister(collector)

	defer collector.Close()
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "gabion_table_rows{") || strings.HasPrefix(lines.Text(), "# TYPE go_goroutines") {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// gabion_table_rows{table="tasks"} 0
	// # TYPE go_goroutines gauge
}
