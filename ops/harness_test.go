package ops

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

// quick are bounds that a test can wait for.
var quick = bounds{request: 1 << 20, header: 200 * time.Millisecond, stall: 200 * time.Millisecond}

// host is a Gabion with a socket.
type host struct {
	*actors.Gabion
	dir    string
	socket *Socket
}

// newHost starts a Gabion in dir, without a socket.
func newHost(t *testing.T, dir string) *host {
	t.Helper()
	return startHost(t, actors.Config{Dir: dir, Tables: []string{"fruit", "other"}, DisableSchedule: true, DisableDrill: true})
}

// startHost starts a Gabion by a configuration of the test's.
func startHost(t *testing.T, config actors.Config) *host {
	t.Helper()
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
	g, err := actors.Start(t.Context(), system, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		system.Shutdown()
	})
	return &host{Gabion: g, dir: config.Dir}
}

// listen opens the socket; zero bounds are the real ones.
func (h *host) listen(t *testing.T, b bounds) *host {
	t.Helper()
	var err error
	if h.socket, err = ListenSocket(t.Context(), h.Gabion, SocketOptions{bounds: b}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close(t) })
	return h
}

func (h *host) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.socket.Close(ctx); err != nil {
		t.Error(err)
	}
}

// serving is a host that listens, and a client of it.
func serving(t *testing.T) (*host, *Client) {
	t.Helper()
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{})
	return h, dial(t, h.dir)
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// fake serves handler on the socket of a directory without a Gabion, which it returns.
func fake(t *testing.T, handler http.Handler) string {
	t.Helper()
	dir := t.TempDir()
	listener, _, err := bind(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends by Close
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return dir
}

// fakeService answers Info like a server of this version, and the rest as a test says.
type fakeService struct {
	messagesconnect.UnimplementedGabionServiceHandler
	major uint32
	put   func(ctx context.Context) error
	get   func() error
	walk  func(ctx context.Context, stream *connect.ServerStream[messages.Page]) error
}

func (f *fakeService) Info(context.Context, *messages.InfoRequest) (*messages.InfoResponse, error) {
	return &messages.InfoResponse{ProtocolMajor: f.major, Version: "v9.9.9"}, nil
}

func (f *fakeService) Put(ctx context.Context, _ *messages.PutRequest) (*messages.Committed, error) {
	return nil, f.put(ctx)
}

func (f *fakeService) Get(context.Context, *messages.GetRequest) (*messages.Value, error) {
	return nil, f.get()
}

func (f *fakeService) Walk(ctx context.Context, _ *messages.WalkRequest, stream *connect.ServerStream[messages.Page]) error {
	return f.walk(ctx, stream)
}

func (f *fakeService) serve(t *testing.T) string {
	_, handler := messagesconnect.NewGabionServiceHandler(f)
	return fake(t, handler)
}
