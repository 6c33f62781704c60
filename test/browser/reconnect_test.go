package browser

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/gabiondb/gabion/messages"
)

// TestReconnect: a page is live again after a proxy in front has answered for the server that was away.
func TestReconnect(t *testing.T) {
	s := serve(t, "tasks", nil, "--disable-schedule", "--disable-drill")
	target, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	var away atomic.Bool
	refused := make(chan string, 100)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			if strings.HasSuffix(r.URL.Path, "/v1/events") {
				refused <- r.URL.String()
			}
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close) // after the browser, which keeps a stream open
	b := newBrowser(t, front.URL+strings.TrimPrefix(s.base, target.Scheme+"://"+target.Host))
	b.signIn()
	b.await("the stream of events", `document.getElementById('live').textContent === 'live'`)
	b.run(chromedp.Evaluate(`window.stayed = true`, nil))
	away.Store(true)
	front.CloseClientConnections()
	<-refused
	b.await("that it is away", `document.getElementById('live').textContent !== 'live'`)
	away.Store(false)
	b.await("the stream again", `document.getElementById('live').textContent === 'live'`)
	if _, err := s.client.Backup(t.Context(), &messages.BackupAll{}); err != nil {
		t.Fatal(err)
	}
	b.await("the run, without a reload", `window.stayed && document.querySelector('#runs tbody tr') !== null`)
}
