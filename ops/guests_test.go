package ops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// TestGuests says which connection leaves for the next one.
func TestGuests(t *testing.T) {
	stranger, asking := guest{}, guest{busy: true}
	idleReader, idleAdmin := guest{who: reader}, guest{who: admin}
	busyReader, busyAdmin := guest{who: reader, busy: true}, guest{who: admin, busy: true}
	for name, c := range map[string]struct {
		here []guest
		want int // the index of who leaves, or -1
	}{
		"oldest stranger":                  {[]guest{busyAdmin, stranger, stranger, idleReader}, 1},
		"stranger before one who asks":     {[]guest{asking, stranger, idleReader}, 1},
		"one who asks before a reader":     {[]guest{idleReader, idleAdmin, asking}, 2},
		"idle reader before an idle admin": {[]guest{idleAdmin, busyReader, idleReader}, 2},
		"idle admin":                       {[]guest{busyAdmin, idleAdmin}, 1},
		"busy reader of too many":          {[]guest{busyAdmin, busyReader, busyReader, busyReader}, 1},
		"busy readers of half":             {[]guest{busyAdmin, busyAdmin, busyReader, busyReader}, -1},
		"busy admins":                      {[]guest{busyAdmin, busyAdmin}, -1},
	} {
		g := newGuests(nil, len(c.here), nobody)
		var all []*guest
		for i, one := range c.here {
			one.number = uint64(i)
			all = append(all, &one)
			g.here[&one] = true
		}
		got := -1
		leaves := g.leastWanted()
		for i, one := range all {
			if one == leaves {
				got = i
			}
		}
		if got != c.want {
			t.Errorf("%s: %d leaves, want %d", name, got, c.want)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 512, 1 << 63: 512, 20000: 512, 4096: 512, 1024: 128, 256: 32, 100: 16} {
		if got := connectionLimit(descriptors); got != want {
			t.Errorf("of %d descriptors %d are for connections, want %d", descriptors, got, want)
		}
	}
}

// webOf serves HTTP for h as a server does, with tokens and bounds of the test's.
func webOf(t *testing.T, h *host, b bounds) *Web {
	t.Helper()
	dir := t.TempDir()
	c := WebConfig{Address: "127.0.0.1:0", AdminTokenFile: writeFile(t, filepath.Join(dir, "a"), adminToken),
		ReadTokenFile: writeFile(t, filepath.Join(dir, "r"), readToken_)}
	opened, err := c.open(t.Context(), (&Config{LogLevel: "error"}).Logger(discard{}))
	if err != nil {
		t.Fatal(err)
	}
	opened.options.bounds.guests, opened.options.bounds.rooms = b.guests, b.rooms
	web, err := opened.serve(h.Gabion)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := web.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return web
}

// rawWeb is a connection to web that nothing was sent on.
func rawWeb(t *testing.T, web *Web) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", web.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// get sends a request on a connection and returns the status of the answer, 0 where the connection has ended.
func get(conn net.Conn, path, token string) int {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", path, token); err != nil {
		return 0
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	if _, err = io.Copy(io.Discard, response.Body); err != nil {
		return 0
	}
	return response.StatusCode
}

// TestStrangersLeave: connections without a token, however many and whatever they do, keep out and end no connection
// with a token. Nor do they reach the socket.
func TestStrangersLeave(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{guests: 2, request: maxRequest, header: headerTimeout, stall: stallTimeout})
	web := webOf(t, h, bounds{guests: 8})
	known := rawWeb(t, web)
	if status := get(known, "/metrics", readToken_); status != http.StatusOK {
		t.Fatalf("status is %d", status)
	}
	var strangers []net.Conn
	for i := range 50 {
		conn := rawWeb(t, web)
		strangers = append(strangers, conn)
		switch i % 3 {
		case 1:
			if status := get(conn, "/healthz", ""); status != http.StatusOK {
				t.Errorf("health to a stranger: %d", status)
			}
		case 2:
			writeRaw(t, conn, "GET /healthz HT")
		}
	}
	if status := get(rawWeb(t, web), "/metrics", adminToken); status != http.StatusOK {
		t.Errorf("a new connection with a token: status %d", status)
	}
	if status := get(known, "/metrics", readToken_); status != http.StatusOK {
		t.Errorf("the connection that was there before: status %d", status)
	}
	for range 5 { // each has a connection of its own, which it closes
		stillServes(t, h)
	}
	// Those that were answered have left for those that came later; by itself the server leaves them idleTimeout.
	for i := 1; i < 40; i += 3 {
		if err := strangers[i].SetReadDeadline(time.Now().Add(idleTimeout / 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := strangers[i].Read(make([]byte, 1)); isTimeout(err) {
			t.Fatalf("stranger %d stays", i)
		}
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
