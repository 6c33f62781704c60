package ops

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

// small are sizes that a test can fill.
var small = roomSizes{requests: 4, streams: 2, bodies: 1 << 20, answers: 1 << 20, pages: 1 << 20, reads: 2, patience: 1}

// TestReadersLeaveRoom: readers that hold all they may have keep no admin out, and get an answer at once.
func TestReadersLeaveRoom(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{})
	web := webOf(t, h, bounds{rooms: small})
	half := "POST /gabion.v1.GabionService/Get HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer " + readToken_ +
		"\r\nContent-Length: 36\r\n\r\n{"
	for range 2 { // the half of four
		writeRaw(t, rawWeb(t, web), half)
	}
	waitFor(t, func() bool { return web.endpoint.requests.Load() == 2 })
	list := func(token string) httpAnswer {
		return askURL(t, "POST", "http://"+web.Address()+"/gabion.v1.GabionService/ListTables", "{}", asJSON, tokenHeader(token))
	}
	if got := list(readToken_); got.StatusCode != http.StatusTooManyRequests || !strings.Contains(got.body, "too many requests are under way") ||
		got.Header.Get("Retry-After") != "1" {
		t.Errorf("a third reader: %s %v %s", got.Status, got.Header, got.body)
	}
	if got := list(adminToken); got.StatusCode != http.StatusOK {
		t.Errorf("an admin: %s %s", got.Status, got.body)
	}
	stillServes(t, h)
	// Streams have a room of their own: one stream for readers, and one that stays free.
	follow := func(token string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+web.Address()+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return response
	}
	for i, c := range []struct {
		token string
		want  int
	}{{readToken_, 200}, {readToken_, 429}, {adminToken, 200}} {
		if got := follow(c.token); got.StatusCode != c.want || (got.Header.Get("Retry-After") == "1") != (c.want == 429) {
			t.Errorf("stream %d: %s %v", i, got.Status, got.Header)
		}
	}
	// The streams of procedures share it.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := messagesconnect.NewGabionServiceClient(&http.Client{Transport: tokenTransport(adminToken)}, "http://"+web.Address())
	events, err := client.Events(ctx, &messages.EventsRequest{Follow: true})
	if err == nil {
		events.Receive()
		err = errors.Join(events.Err(), events.Close())
	}
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a third stream: %v", err)
	}
	if accessOf(t.Context()) != admin {
		t.Error("the socket, which notes nothing, is a reader's")
	}
}

// TestLargeBodiesShareRoom: large requests that do not fit together go one after another, with a size, packed, or with
// neither. Small requests do not wait for them.
func TestLargeBodiesShareRoom(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{})
	web := webOf(t, h, bounds{rooms: small})
	put := "/gabion.v1.GabionService/Put"
	large := `{"table":"fruit","put":{"key":"aw==","value":"` + strings.Repeat("A", 512<<10) + `"}}`
	conn := rawWeb(t, web)
	writeRaw(t, conn, strings.Replace(putHead(len(large)), "\r\n", "\r\nAuthorization: Bearer "+adminToken+"\r\n", 1)+large[:10])
	waitFor(t, func() bool { return web.endpoint.requests.Load() == 1 && web.handler.rooms.bodies.taken() > 0 })
	packedBody, packedHeaders := bomb(t, "json", 100<<10)
	for name, ask := range map[string]func() httpAnswer{
		"its size": func() httpAnswer {
			return askURL(t, "POST", "http://"+web.Address()+put, large, asJSON, tokenHeader(adminToken))
		},
		"no size": func() httpAnswer {
			request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+web.Address()+put, struct{ io.Reader }{strings.NewReader(large)})
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Authorization", "Bearer "+adminToken)
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return httpAnswer{response, string(body)}
		},
		"packed": func() httpAnswer {
			return askURL(t, "POST", "http://"+web.Address()+put, packedBody, append(packedHeaders, tokenHeader(adminToken))...)
		},
	} {
		if got := ask(); got.StatusCode != http.StatusTooManyRequests || !strings.Contains(got.body, "the requests under way are too large together") {
			t.Errorf("%s: %s %.200s", name, got.Status, got.body)
		}
	}
	if got := askURL(t, "POST", "http://"+web.Address()+put, `{"table":"fruit","put":{"key":"aw=="}}`, asJSON, tokenHeader(adminToken)); got.StatusCode != http.StatusOK {
		t.Errorf("a small one: %s %s", got.Status, got.body)
	}
	writeRaw(t, conn, large[10:])
	if status, body := answer(t, conn); status != http.StatusOK {
		t.Errorf("the first: %d %s", status, body)
	}
	waitFor(t, func() bool { return web.handler.rooms.bodies.taken() == 0 })
}

// TestLargeAnswersShareRoom: clients that do not take large answers keep out other large answers alone. An answer to a
// write is sent whether there is room or not.
func TestLargeAnswersShareRoom(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{})
	web := webOf(t, h, bounds{rooms: small})
	client := messagesconnect.NewGabionServiceClient(&http.Client{Transport: tokenTransport(adminToken)}, "http://"+web.Address())
	for key, n := range map[string]int{"large": 8 << 20, "small": 1 << 10} {
		if _, err := client.Put(t.Context(), &messages.PutRequest{Table: "fruit", Put: &messages.Put{Key: []byte(key), Value: make([]byte, n)}}); err != nil {
			t.Fatal(err)
		}
	}
	conn := rawWeb(t, web)
	body := `{"table":"fruit","get":{"key":"bGFyZ2U="}}`
	writeRaw(t, conn, strings.Replace(strings.Replace(putHead(len(body)), "/Put", "/Get", 1), "\r\n", "\r\nAuthorization: Bearer "+adminToken+"\r\n", 1)+body)
	waitFor(t, func() bool { return web.handler.rooms.answers.taken() > 0 })
	get := func(key string) error {
		_, err := client.Get(t.Context(), &messages.GetRequest{Table: "fruit", Get: &messages.Get{Key: []byte(key)}})
		return err
	}
	if err := get("large"); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a second large answer: %v", err)
	}
	if err := get("small"); err != nil {
		t.Errorf("a small answer: %v", err)
	}
	got, err := client.Put(t.Context(), &messages.PutRequest{Table: "fruit", Put: &messages.Put{Key: []byte("large"), WantPrevious: true}})
	if err != nil || len(got.GetPrevious()) != 1 || len(got.GetPrevious()[0].GetValue()) != 8<<20 {
		t.Errorf("a write with a large answer: %v", err)
	}
	if status, _ := answer(t, conn); status != http.StatusOK {
		t.Errorf("the first: %d", status)
	}
	waitFor(t, func() bool { return web.handler.rooms.answers.taken() == 0 })
}

// tokenTransport adds a token to each request.
type tokenTransport string

// RoundTrip implements http.RoundTripper.
func (token tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(token))
	return http.DefaultTransport.RoundTrip(r)
}

// TestManyAtOnce goes through all rooms at once, and leaves them empty.
func TestManyAtOnce(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{})
	web := webOf(t, h, bounds{rooms: roomSizes{requests: 4, bodies: 1 << 20, answers: 1 << 20, reads: 2}})
	client := messagesconnect.NewGabionServiceClient(&http.Client{Transport: tokenTransport(adminToken)}, "http://"+web.Address())
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			value := make([]byte, 100<<10)
			if _, err := client.Put(t.Context(), &messages.PutRequest{Table: "fruit", Put: &messages.Put{Key: []byte{byte(i)}, Value: value}}); err != nil {
				t.Error(err)
			}
			if _, err := client.Get(t.Context(), &messages.GetRequest{Table: "fruit", Get: &messages.Get{Key: []byte{byte(i)}}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, r := range []*room{web.handler.rooms.requests, web.handler.rooms.streams, web.handler.rooms.bodies, web.handler.rooms.answers, web.handler.rooms.pages} {
		waitFor(t, func() bool { return r.taken() == 0 })
	}
}
