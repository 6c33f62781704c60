package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

// The client's table does what the typed handle does, and fails as it does.
func TestClientMirrorsTable(t *testing.T) {
	h, c := serving(t)
	ctx := t.Context()
	log := func(table TableAccess, name string) string {
		var b strings.Builder
		say := func(what string, result any, err error) {
			fmt.Fprintf(&b, "%s: %v, %v, hints %q\n", what, result, err, messages.Hints(err))
			for _, sentinel := range []error{messages.ErrNotFound, messages.ErrInvalid, messages.ErrConditionFailed, messages.ErrUnavailable, messages.ErrOutcomeUnknown} {
				if errors.Is(err, sentinel) {
					fmt.Fprintf(&b, "  is %v\n", sentinel)
				}
			}
		}
		seq, err := table.Put(ctx, []byte("a"), []byte("1"))
		say("put", seq, err)
		seq, err = table.Put(ctx, []byte("b"), nil)
		say("put empty", seq, err)
		seq, err = table.Put(ctx, nil, nil)
		say("put no key", seq, err)
		seq, err = table.Write(ctx, &messages.Write{Ops: []*messages.Op{
			messages.PutOp([]byte("c"), []byte("3")),
			messages.PutOp([]byte("d"), []byte("4")),
		}, Conditions: []*messages.Condition{messages.IfAbsent([]byte("c"))}})
		say("write", seq, err)
		seq, err = table.Write(ctx, &messages.Write{Ops: []*messages.Op{messages.DeleteOp([]byte("c"))},
			Conditions: []*messages.Condition{messages.IfAbsent([]byte("c"))}})
		say("write refused", seq, err)
		seq, err = table.Write(ctx, &messages.Write{})
		say("write nothing", seq, err)
		seq, err = table.Delete(ctx, []byte("d"))
		say("delete", seq, err)
		seq, err = table.DeleteRange(ctx, []byte("b"), []byte("c"))
		say("delete range", seq, err)
		seq, err = table.DeleteRange(ctx, []byte("c"), []byte("b"))
		say("delete bad range", seq, err)
		value, err := table.Get(ctx, []byte("a"))
		say("get", string(value), err)
		_, err = table.Get(ctx, []byte("absent"))
		say("get absent", nil, err)
		_, err = table.Get(ctx, nil)
		say("get no key", nil, err)
		page, err := table.Scan(ctx, &messages.Scan{Limit: 1, Reverse: true})
		say("scan", fmt.Sprintf("%q %q", page.GetEntries(), page.GetNext()), err)
		rows := ""
		err = table.Walk(ctx, nil, func(key, value []byte) error { rows += fmt.Sprintf("%s=%s ", key, value); return nil })
		say("walk", rows, err)
		err = table.Walk(ctx, &messages.Scan{Prefix: []byte("c")}, func([]byte, []byte) error { return errors.New("enough") })
		say("walk ended", nil, err)
		return strings.ReplaceAll(b.String(), name, "TABLE")
	}
	local, remote := log(h.Table("fruit"), "fruit"), log(c.Table("other"), "other")
	// Only Go calls tell in whose walk each's error came.
	if remote != strings.ReplaceAll(local, "walk: enough", "enough") {
		t.Errorf("in place:\n%s\nthrough the socket:\n%s", local, remote)
	}
	local, remote = log(h.Table("missing"), "missing"), log(c.Table("missing"), "missing")
	if remote != local {
		t.Errorf("of a missing table, in place:\n%s\nthrough the socket:\n%s", local, remote)
	}
}

func TestClientMirrorsGabion(t *testing.T) {
	_, c := serving(t)
	ctx := t.Context()
	if _, err := c.Table("fruit").Put(ctx, []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	report, err := c.Backup(ctx, &messages.BackupAll{Tables: []string{"fruit"}, Label: "noon"})
	if err != nil || len(report.GetSet().GetResults()) != 1 || report.GetSet().GetLabel() != "noon" {
		t.Errorf("backup: %v, %v", report, err)
	}
	if _, err := c.Backup(ctx, &messages.BackupAll{Tables: []string{"NO"}}); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("bad backup: %v", err)
	}
	list, err := c.ListBackups(ctx, "fruit")
	if err != nil || len(list.GetBackups()) != 1 {
		t.Errorf("list backups: %v, %v", list, err)
	}
	health, err := c.Health(ctx)
	if err != nil || len(health.GetTables()) != 2 || health.GetDir() != c.Info().GetDir() || health.GetDir() == "" {
		t.Errorf("health: %v, %v", health, err)
	}
	if err := c.CloseTable(ctx, "fruit"); err != nil {
		t.Error(err)
	}
	if _, err := c.Table("fruit").Get(ctx, []byte("k")); !errors.Is(err, messages.ErrUnavailable) {
		t.Errorf("get of a closed table: %v", err)
	}
	tables, err := c.ListTables(ctx)
	if err != nil || len(tables) != 2 || tables[0].GetState() != messages.TableState_TABLE_STATE_CLOSED {
		t.Errorf("tables: %v, %v", tables, err)
	}
	if err := c.OpenTable(ctx, "fruit"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.CreateTable(ctx, "fresh", false), c.RetryTable(ctx, "fresh"), c.Drop(ctx, &messages.DropTable{Table: "fresh"})); err != nil {
		t.Errorf("create, retry, drop = %v", err)
	}
	if list, err := c.ListBackups(ctx, "fresh"); err != nil || len(list.GetBackups()) != 1 || list.GetBackups()[0].GetPinned() == "" {
		t.Errorf("backups of a dropped table = %v, %v", list.GetBackups(), err)
	}
	if err := c.CreateTable(ctx, "fresh", false); err == nil || len(messages.Hints(err)) == 0 {
		t.Errorf("create of a dropped table = %v", err)
	}
	if err := errors.Join(c.OpenTable(ctx, "none"), c.CloseTable(ctx, "none")); !errors.Is(err, messages.ErrNotFound) {
		t.Errorf("open and close of a missing table: %v", err)
	}
}

// A whole table comes in pages, from one snapshot.
func TestWalkInPages(t *testing.T) {
	h, c := serving(t)
	const rows = 40
	for i := range rows {
		if _, err := h.Table("fruit").Put(t.Context(), []byte{byte(i)}, make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err := c.Table("fruit").Walk(t.Context(), nil, func(key, value []byte) error {
		if key[0] != byte(seen) || len(value) != 100<<10 {
			t.Errorf("row %d has key %v and %d B", seen, key, len(value))
		}
		if seen == 0 {
			if _, err := h.Table("fruit").Put(t.Context(), []byte{rows}, nil); err != nil {
				return err
			}
		}
		seen++
		return nil
	})
	if err != nil || seen != rows {
		t.Errorf("saw %d rows, %v", seen, err)
	}
	stream, err := c.service.Walk(t.Context(), &messages.WalkRequest{Table: "fruit"})
	pages := 0
	err = receive(t.Context(), stream, err, func(page *messages.Page) error {
		if pages++; len(page.GetEntries()) > 11 {
			t.Errorf("a page has %d rows of 100 KiB", len(page.GetEntries()))
		}
		return nil
	})
	if err != nil || pages != 4 {
		t.Errorf("%d pages, %v", pages, err)
	}
}

// On the wire a key that is absent is a Value, and a table that is absent is an error.
func TestAbsentKeyIsAValue(t *testing.T) {
	_, c := serving(t)
	value, err := c.service.Get(t.Context(), &messages.GetRequest{Table: "fruit", Get: &messages.Get{Key: []byte("absent")}})
	if err != nil || value.GetFound() {
		t.Errorf("absent key: %v, %v", value, err)
	}
	_, err = c.service.Get(t.Context(), &messages.GetRequest{Table: "none", Get: &messages.Get{Key: []byte("k")}})
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("absent table: %v", err)
	}
}

// Every Failure arrives as it was: code, hint, time to wait, unknown outcome.
func TestFailureTravels(t *testing.T) {
	for code := messages.Code_CODE_CANCELLED; code <= messages.Code_CODE_UNAUTHENTICATED; code++ {
		sent := messages.Failf(code, "because").Of("fruit").After(90 * time.Second).Advise("do something")
		sent.OutcomeUnknown = true
		f := &fakeService{major: 1, get: func() error { return toConnect(fmt.Errorf("get: %w", sent)) }}
		_, err := dial(t, f.serve(t)).Table("fruit").Get(t.Context(), []byte("k"))
		var got *messages.Failure
		if !errors.As(err, &got) || got.GetCode() != code || got.GetRetryAfter().AsDuration() != 90*time.Second ||
			got.GetHint() != "do something" || !errors.Is(err, messages.ErrOutcomeUnknown) || err.Error() != `get: table "fruit": because` {
			t.Errorf("%v arrives as %v (%+v)", code, err, got)
		}
	}
	// One that no server of ours made keeps its code.
	f := &fakeService{major: 1, get: func() error { return connect.NewError(connect.CodeNotFound, errors.New("gone")) }}
	_, err := dial(t, f.serve(t)).Table("fruit").Get(t.Context(), []byte("k"))
	if !errors.Is(err, messages.ErrNotFound) || err.Error() != "gone" {
		t.Errorf("a bare error arrives as %v", err)
	}
}

// A write that was sent and not answered may have been carried out; a read only failed.
func TestNoAnswer(t *testing.T) {
	f := &fakeService{major: 1,
		put: func(context.Context) error { panic(http.ErrAbortHandler) },
		get: func() error { panic(http.ErrAbortHandler) },
	}
	c := dial(t, f.serve(t))
	_, err := c.Table("fruit").Put(t.Context(), []byte("k"), nil)
	if !errors.Is(err, messages.ErrOutcomeUnknown) || !errors.Is(err, messages.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	_, err = c.Table("fruit").Get(t.Context(), []byte("k"))
	if errors.Is(err, messages.ErrOutcomeUnknown) || !errors.Is(err, messages.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	hangs := &fakeService{major: 1, put: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	c = dial(t, hangs.serve(t))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = c.Table("fruit").Put(ctx, []byte("k"), nil)
	if !errors.Is(err, messages.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("put that was given up: %v", err)
	}
}

// A server that is gone was not asked: nothing was written.
func TestServerGone(t *testing.T) {
	h, c := serving(t)
	h.close(t)
	_, err := c.Table("fruit").Put(t.Context(), []byte("k"), nil)
	if !errors.Is(err, ErrNoServer) || errors.Is(err, messages.ErrOutcomeUnknown) {
		t.Errorf("put: %v", err)
	}
}

// A client and a server of different protocols say which of them to upgrade.
func TestOtherProtocol(t *testing.T) {
	for major, want := range map[uint32]string{protocolMajor + 1: "upgrade the client", protocolMajor - 1: "upgrade the server"} {
		_, err := Dial(t.Context(), (&fakeService{major: major}).serve(t))
		if !errors.Is(err, messages.ErrUnimplemented) || !strings.HasPrefix(strings.Join(messages.Hints(err), ""), want) {
			t.Errorf("server of protocol %d: %v, hints %q", major, err, messages.Hints(err))
		}
	}
	_, c := serving(t)
	ask := func(version string) (info, list, events error) {
		client := messagesconnect.NewGabionServiceClient(&http.Client{Transport: c.transport}, "http://x",
			connect.WithInterceptors(speaking(version)))
		ctx := t.Context()
		_, info = client.Info(ctx, &messages.InfoRequest{})
		_, list = client.ListTables(ctx, &messages.ListTables{})
		stream, err := client.Events(ctx, &messages.EventsRequest{})
		return fromConnect(ctx, info, false), fromConnect(ctx, list, false),
			receive(ctx, stream, err, func(*messages.LoggedEvent) error { return nil })
	}
	for version, want := range map[string]string{
		"2": "upgrade the server: restart it", "0": "upgrade the client: use the gabion command",
	} {
		info, list, events := ask(version)
		for _, err := range []error{list, events} {
			if !errors.Is(err, messages.ErrUnimplemented) || !strings.HasPrefix(strings.Join(messages.Hints(err), ""), want) {
				t.Errorf("client of protocol %s: %v, hints %q", version, err, messages.Hints(err))
			}
		}
		if info != nil {
			t.Errorf("Info for protocol %s: %v", version, info)
		}
	}
	if _, list, _ := ask("x"); !errors.Is(list, messages.ErrInvalid) {
		t.Errorf("client of protocol x: %v", list)
	}
	if info, list, events := ask(""); errors.Join(info, list, events) != nil {
		t.Errorf("client without a protocol: %v, %v, %v", info, list, events)
	}
}

// speaking tells another protocol than ours.
func speaking(version string) connect.Interceptor {
	return protocolOf{version: version}
}

type protocolOf struct {
	protocolInterceptor
	version string
}

func (p protocolOf) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		request.Header().Set(protocolHeader, p.version)
		return next(ctx, request)
	}
}

func (p protocolOf) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set(protocolHeader, p.version)
		return conn
	}
}

// A request on which the service panics is answered, and the next one too.
func TestPanic(t *testing.T) {
	s := &service{ending: t.Context(), logger: (&Config{LogLevel: "error"}).Logger(discard{}), info: &messages.InfoResponse{ProtocolMajor: 1}}
	dir := fake(t, s.handler(bounds{request: maxRequest}))
	c := dial(t, dir)
	for range 2 {
		if _, err := c.Table("fruit").Put(t.Context(), []byte("k"), nil); !errors.Is(err, messages.ErrInternal) {
			t.Errorf("put: %v", err)
		}
		err := c.Table("fruit").Walk(t.Context(), nil, func(_, _ []byte) error { return nil })
		if !errors.Is(err, messages.ErrInternal) {
			t.Errorf("walk: %v", err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Open goes through the socket where a server runs, and in place otherwise; either way no table is made.
func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	t.Run("through the socket", func(t *testing.T) {
		newHost(t, dir).listen(t, bounds{})
		s, err := Open(t.Context(), OpenOptions{Dir: dir, Tables: []string{"fruit"}, Write: true})
		if err != nil || s.Client() == nil {
			t.Fatalf("open: %+v, %v", s, err)
		}
		if _, err := s.Table("fruit").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
			t.Error(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(t.Context(), OpenOptions{Dir: dir, Tables: []string{"fruit"}, Write: true})
	if err != nil || s.Client() != nil {
		t.Fatalf("open in place: %+v, %v", s, err)
	}
	if value, err := s.Table("fruit").Get(t.Context(), []byte("k")); string(value) != "v" {
		t.Errorf("get: %q, %v", value, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, write := range []bool{false, true} {
		_, err := Open(t.Context(), OpenOptions{Dir: dir, Tables: []string{"none"}, Write: write})
		if !errors.Is(err, messages.ErrNotFound) || !strings.Contains(strings.Join(messages.Hints(err), ""), "fruit, other") {
			t.Errorf("open of a missing table, write %v: %v", write, err)
		}
		if _, err := Open(t.Context(), OpenOptions{Dir: dir + "x", Write: write}); !errors.Is(err, messages.ErrNotFound) {
			t.Errorf("open of a missing directory, write %v: %v", write, err)
		}
	}
}

// A server that does not say who it is, such as a stopped process, holds up nobody for ever.
func TestHungServer(t *testing.T) {
	release := make(chan struct{})
	dir := fake(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	_, err := Dial(t.Context(), dir)
	if !errors.Is(err, messages.ErrDeadline) || !strings.Contains(strings.Join(messages.Hints(err), ""), "look at its process") {
		t.Errorf("dial = %v, hints %q", err, messages.Hints(err))
	}
}

// A start waits a little for a reader that holds the directory.
func TestStartBesideAReader(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	start := func() (*Server, error) {
		return Start(t.Context(), &Config{Gabion: actors.Config{Dir: dir, Tables: []string{"a"}, DisableSchedule: true}}, nil)
	}
	stop := func(s *Server, err error) {
		if err == nil {
			err = s.Stop(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stop(start())
	reader, err := Open(t.Context(), OpenOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() {
		if err := reader.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	stop(start())
}
