package ops

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// sseEvent is one event of a stream.
type sseEvent struct{ id, name, data string }

// listen reads /v1/events until the test ends it. An id of 0 is none.
func (f *face) listen(after uint64) (events <-chan sseEvent, end func()) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.Context())
	request, err := http.NewRequestWithContext(ctx, "GET", f.url+"/v1/events", nil)
	if err != nil {
		f.Fatal(err)
	}
	if after != 0 {
		request.Header.Set("Last-Event-ID", strconv.FormatUint(after, 10))
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		f.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); response.StatusCode != 200 || kind != "text/event-stream" {
		f.Fatalf("%s, %s", response.Status, kind)
	}
	got := make(chan sseEvent, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(got)
		defer func() { _ = response.Body.Close() }()
		var e sseEvent
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					got <- e
				}
				e = sseEvent{}
			}
		}
	}()
	return got, func() {
		cancel()
		<-done
	}
}

// next is the next event that is logged; Progress is passed over.
func (f *face) next(events <-chan sseEvent) sseEvent {
	f.Helper()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				f.Fatal("the stream ended")
			}
			if e.name != "Progress" {
				return e
			}
		case <-time.After(10 * time.Second):
			f.Fatal("no event came")
		}
	}
}

// until reads events up to the one of a name.
func (f *face) until(events <-chan sseEvent, name string) (all []sseEvent) {
	f.Helper()
	for {
		e := f.next(events)
		if all = append(all, e); e.name == name {
			return all
		}
	}
}

// TestStream: what happens comes as it happens, and nothing from before.
func TestStream(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	if _, err := f.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	events, end := f.listen(0)
	defer end()
	first := <-events // written once the follower may still be on its way
	if first.name != "Progress" || first.data != "[]" || first.id != "" {
		t.Errorf("first %v", first)
	}
	if _, err := f.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := f.until(events, "BackupComplete")
	if len(all) != 4 || all[0].name != "BackupStarted" || !strings.Contains(all[3].data, `"backupComplete"`) {
		t.Errorf("events %v", all)
	}
}

// TestStreamResumes: whoever comes back with the last id it has gets each event once, whatever happened in between.
func TestStreamResumes(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	events, end := f.listen(0)
	<-events
	run := func() {
		t.Helper()
		if _, err := f.BackupAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run()
	var ids []uint64
	seen := func(e sseEvent) {
		id, err := strconv.ParseUint(e.id, 10, 64)
		if err != nil {
			t.Fatalf("%v: %v", e, err)
		}
		ids = append(ids, id)
	}
	for _, e := range f.until(events, "BackupComplete") {
		seen(e)
	}
	for i := range 5 {
		end()
		run()
		if i%2 == 0 {
			run()
		}
		events, end = f.listen(ids[len(ids)-1])
		run()
		// The runs while nobody listened, and the one since.
		for range 2 + (i+1)%2 {
			for _, e := range f.until(events, "BackupComplete") {
				seen(e)
			}
		}
	}
	end()
	for i := 1; i < len(ids); i++ {
		if ids[i] != ids[i-1]+1 {
			t.Fatalf("event %d follows %d", ids[i], ids[i-1])
		}
	}
	if len(ids) != (1+5*2+3)*4 {
		t.Errorf("%d events", len(ids))
	}
}

// TestSlowStream: a client that takes nothing holds up no commit and no run, for as long as it likes, and gets every event once
// when it goes on.
func TestSlowStream(t *testing.T) {
	h := newHost(t, t.TempDir()+"/d")
	handler, err := NewHandler(h.Gabion, HandlerOptions{bounds: bounds{request: maxRequest, header: headerTimeout, stall: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Close()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if err := conn.(*net.TCPConn).SetWriteBuffer(4 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /v1/events?after=1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const runs = 150 // of some hundred kilobytes of events
	for i := range runs {
		if _, err := h.Table("fruit").Put(ctx, fmt.Append(nil, i), []byte("v")); err != nil {
			t.Fatalf("put %d beside a client that takes nothing: %v", i, err)
		}
		if _, err := h.BackupAll(ctx, "fruit"); err != nil {
			t.Fatalf("run %d beside a client that takes nothing: %v", i, err)
		}
	}
	var last uint64
	complete := 0
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	for complete < runs && lines.Scan() {
		if lines.Text() == "event: BackupComplete" {
			complete++
		}
		text, ok := strings.CutPrefix(lines.Text(), "id: ")
		if !ok {
			continue
		}
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil || last > 1 && id != last+1 {
			t.Fatalf("event %s follows %d: %v", text, last, err)
		}
		last = id
	}
	if complete != runs {
		t.Errorf("%d of %d runs came: %v", complete, runs, lines.Err())
	}
}

// TestStreamEnds with the handler.
func TestStreamEnds(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	events, end := f.listen(0)
	defer end()
	<-events
	f.handler.Close()
	select {
	case _, open := <-events:
		for open {
			_, open = <-events
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
	if got := f.ask("HEAD", "/v1/events", ""); got.StatusCode != 200 {
		t.Errorf("HEAD: %s", got.Status)
	}
}

// TestStreamOfProgress: work that goes on is told, and that it is over, without an id to resume by.
func TestStreamOfProgress(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	value := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(value)
	for i := range 3 {
		if _, err := f.Table("fruit").Put(t.Context(), fmt.Append(nil, i), value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.BackupAll(t.Context(), "fruit"); err != nil {
		t.Fatal(err)
	}
	events, end := f.listen(0)
	defer end()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan error, 1)
	go func() {
		// As slow as can be, so that it goes on until it is told of.
		over <- f.VerifyEach(ctx, &messages.VerifyBackup{Tables: []string{"fruit"}, BytesPerSecond: 1 << 20}, func(*messages.VerifyUpdate) error { return nil })
	}()
	until := func(what string, is func(data string) bool) {
		t.Helper()
		for deadline := time.After(20 * time.Second); ; {
			select {
			case e := <-events:
				if e.name == "Progress" && e.id == "" && is(e.data) {
					return
				}
			case <-deadline:
				t.Fatalf("%s is not told", what)
			}
		}
	}
	until("the work", func(data string) bool {
		return strings.Contains(data, `"verify"`) && strings.Contains(data, `"fruit"`) && strings.Contains(data, `"total"`)
	})
	cancel()
	<-over
	until("the end", func(data string) bool { return data == "[]" })
}
