package ops

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPanickingPage is answered, unless the answer has begun: then it is cut off.
func TestPanickingPage(t *testing.T) {
	pages := map[string]func(w http.ResponseWriter){
		"/": func(http.ResponseWriter) { panic("oh") },
		"/half": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, strings.Repeat("half", 4096))
			panic("oh")
		},
		"/flushed": func(w http.ResponseWriter) {
			_ = http.NewResponseController(w).Flush()
			panic("oh")
		},
		"/headed": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusOK)
			panic("oh")
		},
		"/aborted": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	}
	f := newFace(t, HandlerOptions{}, nil)
	f.handler.answer = bounded(context.Background(), bounds{request: maxRequest, header: headerTimeout, stall: stallTimeout},
		f.handler.recovering(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages[r.URL.Path](w) })))
	if got := f.ask("GET", "/", "", asPage); got.StatusCode != 500 || strings.Contains(got.body, "oh</p>") {
		t.Errorf("%s %s", got.Status, got.body)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path := range pages {
		if path == "/" {
			continue
		}
		response, err := client.Get(f.url + path)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			_ = response.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: answered as if it were whole: %s", path, response.Status)
		}
	}
}
