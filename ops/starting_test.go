package ops

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
)

// freeAddress is an address that nobody has taken.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// A host whose directory cannot be opened yet answers all the same: it lives, it is not ready, and it says why.
func TestHTTPAnswersWhileTheDirectoryIsOpened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	holder := newHost(t, dir) // as long as it holds the directory, a start waits
	address := freeAddress(t)
	config := &Config{Gabion: actors.Config{Dir: dir, Tables: []string{"fruit"}, DisableSchedule: true}, DisableSocket: true,
		Web: WebConfig{Address: address}}
	type outcome struct {
		server *Server
		err    error
	}
	started := make(chan outcome, 1)
	go func() {
		s, err := Start(t.Context(), config, nil)
		started <- outcome{s, err}
	}()
	get := func(path string) (status int, body string) {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return response.StatusCode, string(text)
	}
	waitFor(t, func() bool { status, _ := get("/healthz"); return status != 0 })
	if status, body := get("/healthz"); status != http.StatusOK || body != "starting\n" {
		t.Errorf("healthz = %d %q", status, body)
	}
	for _, path := range []string{"/readyz", "/metrics", "/"} {
		if status, body := get(path); status != http.StatusServiceUnavailable || path == "/readyz" && !strings.Contains(body, dir+" is being opened for") ||
			path == "/metrics" && !strings.Contains(body, `"hint":"`) {
			t.Errorf("%s = %d %q", path, status, body)
		}
	}
	// A page that resolves a name of its own to this address is told nothing of the directory.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "elsewhere.example"
	if response, err := http.DefaultClient.Do(request); err != nil {
		t.Error(err)
	} else {
		text, err := io.ReadAll(response.Body)
		if err != nil || response.Body.Close() != nil || strings.Contains(string(text), dir) {
			t.Errorf("another host is told %q, %v", text, err)
		}
	}
	if err := holder.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	o := <-started
	if o.err != nil {
		t.Fatal(o.err)
	}
	if status, body := get("/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz once it is open = %d %q", status, body)
	}
	if status, _ := get("/metrics"); status != http.StatusOK {
		t.Errorf("metrics once it is open = %d", status)
	}
	if err := o.server.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}
