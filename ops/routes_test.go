package ops

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// TestMethods: a page that there is says which methods it takes, by RFC 9110, 15.5.6; one that there is not is not found.
func TestMethods(t *testing.T) {
	for _, prefix := range []string{"", "/ops/gabion"} {
		f := newFace(t, HandlerOptions{Prefix: prefix}, nil)
		for _, c := range []struct {
			method, path string
			want         int
			allow        string
		}{
			{"POST", "/healthz", 405, "GET, HEAD"},
			{"DELETE", "/metrics", 405, "GET, HEAD"},
			{"PUT", "/tables/fruit", 405, "GET, HEAD"},
			{"DELETE", "/login", 405, "GET, HEAD, POST"},
			{"GET", "/logout", 405, "POST"},
			{"GET", "/gabion.v1.GabionService/Put", 405, "POST"},
			{"POST", "/nope", 404, ""},
			{"POST", "/tables/fruit/", 404, ""},
			{"HEAD", "/healthz", 200, ""},
			{"HEAD", "/metrics", 200, ""},
			{"HEAD", "/", 200, ""},
		} {
			got := f.ask(c.method, c.path, "")
			if got.StatusCode != c.want || got.Header.Get("Allow") != c.allow {
				t.Errorf("%s %s: %s, allows %q, want %d %s, %q", c.method, c.path, got.Status, got.Header.Get("Allow"), c.want, http.StatusText(c.want), c.allow)
			}
		}
	}
}

// TestEscapedSlash: a path that holds one leads to the handler's own login, whether its prefix was taken away or not.
func TestEscapedSlash(t *testing.T) {
	strip := func(h http.Handler) http.Handler { return http.StripPrefix("/deep/gabion", h) }
	for name, f := range map[string]*face{
		"stripped": newFace(t, HandlerOptions{AdminToken: adminToken}, strip),
		"given":    newFace(t, HandlerOptions{AdminToken: adminToken, Prefix: "/deep/gabion"}, nil),
	} {
		for path, want := range map[string]string{
			"/deep/gabion/tables/a%2fb":                "../login",
			"/deep/gabion/tables/%2f%2fevil.example":   "../login",
			"/deep/gabion/backups/fruit/a%2fb%2fc":     "../../login",
			"/deep/gabion/tables/fruit":                "../login",
			"/deep/gabion/tables/caf%C3%A9%2flatte?q=": "../login",
		} {
			got := rawGet(t, strings.TrimSuffix(f.url, "/deep/gabion"), path)
			if got.StatusCode != http.StatusNotFound && (got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != want) {
				t.Errorf("%s, %s: %s to %q, want %q", name, path, got.Status, got.Header.Get("Location"), want)
			}
		}
	}
}

// TestClosedHandler counts and watches no more, also where the Gabion goes on.
func TestClosedHandler(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	changes := func() uint64 {
		f.handler.monitor.mu.Lock()
		defer f.handler.monitor.mu.Unlock()
		return f.handler.monitor.changes
	}
	ended := make(chan struct{}, 1)
	defer f.Subscribe(func(m proto.Message) {
		if _, ok := m.(*messages.BackupComplete); ok {
			ended <- struct{}{}
		}
	})()
	counted := func() bool {
		return strings.Contains(f.ask("GET", "/metrics", "").body, "\ngabion_runs_total{outcome=\"complete\"} 1\n")
	}
	if _, err := f.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-ended
	waitFor(t, counted)
	waitFor(t, func() bool { return changes() == 4 })
	f.handler.Close()
	for range 20 {
		if _, err := f.BackupAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
	if n := changes(); n != 4 || !counted() {
		t.Errorf("%d events, and runs are counted on", n)
	}
}
