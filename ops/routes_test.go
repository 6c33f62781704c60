package ops

import (
	"net/http"
	"testing"
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
