package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

const (
	adminToken = "admin-0123456789abcdef"
	readToken_ = "reader-0123456789abcdef"
)

// face is a handler that a server of the test's answers by.
type face struct {
	*testing.T
	*host
	handler *Handler
	url     string
}

// newFace serves the handler of a Gabion with two tables; wrap, unless nil, is the host's own mux.
func newFace(t *testing.T, o HandlerOptions, wrap func(http.Handler) http.Handler) *face {
	t.Helper()
	return faceOf(t, newHost(t, t.TempDir()+"/d"), o, wrap)
}

func faceOf(t *testing.T, h *host, o HandlerOptions, wrap func(http.Handler) http.Handler) *face {
	t.Helper()
	handler, err := NewHandler(h.Gabion, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(handler.Close)
	var outer http.Handler = handler
	if wrap != nil {
		outer = wrap(handler)
	}
	server := httptest.NewServer(outer)
	t.Cleanup(func() {
		handler.Close()
		server.Close()
	})
	return &face{T: t, host: h, handler: handler, url: server.URL + o.Prefix}
}

// httpAnswer is what a request was answered.
type httpAnswer struct {
	*http.Response
	body string
}

// ask sends a request with headers, each "Name: value", and follows no redirect.
func (f *face) ask(method, path, body string, headers ...string) httpAnswer {
	f.Helper()
	return askURL(f.T, method, f.url+path, body, headers...)
}

func askURL(t *testing.T, method, url, body string, headers ...string) httpAnswer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			request.Host = value
		}
		request.Header.Add(name, value)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return httpAnswer{response, string(data)}
}

const (
	asJSON = "Content-Type: application/json"
	asPage = "Accept: text/html"
)

// TestConnectOverHTTP: curl's JSON, Connect clients and gRPC clients are answered by the same service, with canonical codes.
func TestConnectOverHTTP(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	got := f.ask("POST", "/gabion.v1.GabionService/Put", `{"table":"fruit","put":{"key":"YQ==","value":"MQ=="}}`, asJSON)
	if got.StatusCode != 200 || !strings.Contains(got.body, `"seq":"1"`) {
		t.Errorf("put: %s %s", got.Status, got.body)
	}
	if got := f.ask("GET", `/gabion.v1.GabionService/ListTables?encoding=json&message=%7B%7D`, ""); got.StatusCode != 200 || !strings.Contains(got.body, `"fruit"`) {
		t.Errorf("get of a procedure without side effects: %s %s", got.Status, got.body)
	}
	got = f.ask("POST", "/gabion.v1.GabionService/Get", `{"table":"nope","get":{"key":"YQ=="}}`, asJSON)
	if got.StatusCode != 404 || !strings.Contains(got.body, `"code":"not_found"`) {
		t.Errorf("unknown table: %s %s", got.Status, got.body)
	}
	h2c := &http.Client{Transport: &http.Transport{Protocols: unencryptedHTTP2()}}
	server := httptest.NewUnstartedServer(f.handler)
	server.Config.Protocols = unencryptedHTTP2()
	server.Start()
	defer server.Close()
	for name, options := range map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()}} {
		client := messagesconnect.NewGabionServiceClient(h2c, server.URL, options...)
		value, err := client.Get(t.Context(), &messages.GetRequest{Table: "fruit", Get: &messages.Get{Key: []byte("a")}})
		if err != nil || string(value.GetValue()) != "1" {
			t.Errorf("%s: %v, %v", name, value, err)
		}
		if _, err := client.Get(t.Context(), &messages.GetRequest{Table: "nope", Get: &messages.Get{Key: []byte("a")}}); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
		stream, err := client.VerifyBackup(t.Context(), &messages.VerifyBackup{})
		if err != nil {
			t.Fatal(err)
		}
		for stream.Receive() {
		}
		if err := stream.Err(); err != nil {
			t.Errorf("%s: verify: %v", name, err)
		}
		_ = stream.Close()
	}
	h2c.CloseIdleConnections()
}

func unencryptedHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// TestPrefix: under a host's mux, with the prefix taken away or not, every page finds its assets, by relative URLs alone.
func TestPrefix(t *testing.T) {
	strip := func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/deep/gabion/", http.StripPrefix("/deep/gabion", h))
		return mux
	}
	keep := func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/deep/gabion/", h)
		mux.Handle("/deep/gabion", h)
		return mux
	}
	for name, f := range map[string]*face{
		"stripped": newFace(t, HandlerOptions{}, strip), "given": newFace(t, HandlerOptions{Prefix: "/deep/gabion"}, keep), "root": newFace(t, HandlerOptions{}, nil),
	} {
		base := f.url
		if name == "stripped" {
			base += "/deep/gabion"
		}
		if _, err := f.BackupAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := f.ListBackups(t.Context(), "fruit")
		if err != nil {
			t.Fatal(err)
		}
		for path, depth := range map[string]int{"/": 0, "/tables/fruit": 1, "/backups/fruit/" + list.GetBackups()[0].GetBackupId(): 2} {
			page := askURL(t, "GET", base+path, "", asPage)
			want := `href="` + strings.Repeat("../", depth) + "assets/style.css"
			if depth == 0 {
				want = `href="./assets/style.css`
			}
			if page.StatusCode != 200 || !strings.Contains(page.body, want) || strings.Contains(page.body, `="/`) || strings.Contains(page.body, "ZgotmplZ") {
				t.Errorf("%s%s: %s\n%s", name, path, page.Status, page.body)
			}
		}
		if asset := askURL(t, "GET", base+"/assets/style.css", ""); asset.StatusCode != 200 || !strings.HasPrefix(asset.Header.Get("Content-Type"), "text/css") {
			t.Errorf("%s: asset %s", name, asset.Status)
		}
		// What is refused is refused in the same way, and its page finds its assets too.
		if got := askURL(t, "POST", base+"/gabion.v1.GabionService/Put", `{}`, asJSON, "Sec-Fetch-Site: cross-site"); got.StatusCode != 403 || !strings.Contains(got.body, `"code":"permission_denied"`) {
			t.Errorf("%s: from another site %s %s", name, got.Status, got.body)
		}
		if got := askURL(t, "POST", base+"/logout", "", asPage, "Sec-Fetch-Site: cross-site"); got.StatusCode != 403 || !strings.Contains(got.body, `href="./assets/style.css`) {
			t.Errorf("%s: from another site %s %s", name, got.Status, got.body)
		}
		if name == "given" {
			if got := askURL(t, "GET", strings.TrimSuffix(base, "/"), ""); got.StatusCode != 308 || got.Header.Get("Location") != "./gabion/" {
				t.Errorf("without the slash: %s to %q", got.Status, got.Header.Get("Location"))
			}
		}
	}
}

// TestBadPaths reach nothing.
func TestBadPaths(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	for path, want := range map[string]int{
		"/tables/..%2f..%2fetc": 404, "/tables/../../etc/passwd": 404, "/../../etc/passwd": 404, "/assets/..%2f..%2fdashboard.go": 404,
		"/assets/style.css/..": 404, "/nope": 404, "//": 404, "/tables/nope": 404, "/backups/fruit/1_2": 404, "/backups/fruit/..%2f..": 404, "/tables/": 404,
		"/tables/fruit?prefix=hex:x": 200, "/tables/%00": 400,
	} {
		got := rawGet(t, f.url, path)
		if got.StatusCode != want || strings.Contains(got.body, "root:") {
			t.Errorf("%s: %s, want %d\n%s", path, got.Status, want, got.body)
		}
	}
}

// rawGet sends the path as it is.
func rawGet(t *testing.T, url, path string) httpAnswer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.URL.Opaque = path
	request.Header.Set("Accept", "text/html")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return httpAnswer{response, string(data)}
}

// TestBadRequests are answered with the right code, and change nothing.
func TestBadRequests(t *testing.T) {
	small := newFace(t, HandlerOptions{bounds: bounds{request: 1 << 10, header: headerTimeout, stall: stallTimeout}}, nil)
	const put = "/gabion.v1.GabionService/Put"
	large, err := json.Marshal(map[string]any{"table": "fruit", "put": map[string][]byte{"key": []byte("k"), "value": bytes.Repeat([]byte("v"), 4<<10)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  httpAnswer
		want int
		text string
	}{
		"malformed JSON":         {small.ask("POST", put, `{"table":`, asJSON), 400, "invalid_argument"},
		"unknown field":          {small.ask("POST", put, `{"tabel":"fruit"}`, asJSON), 404, "no such table"},
		"oversized body":         {small.ask("POST", put, string(large), asJSON), 400, "1024 B"},
		"no such table":          {small.ask("POST", put, `{"table":"nope","put":{"key":"YQ=="}}`, asJSON), 404, "not_found"},
		"bad table name":         {small.ask("POST", put, `{"table":"../x","put":{"key":"YQ=="}}`, asJSON), 404, "no such table"},
		"another table's backup": {small.ask("POST", "/gabion.v1.GabionService/ShowBackup", `{"table":"fruit","backupId":"7"}`, asJSON), 404, "not_found"},
		"unknown procedure":      {small.ask("POST", "/gabion.v1.GabionService/Nope", `{}`, asJSON), 404, ""},
		"a form":                 {small.ask("POST", put, `table=fruit`, "Content-Type: application/x-www-form-urlencoded"), 415, ""},
		"another site's page":    {small.ask("POST", put, `{}`, asJSON, "Sec-Fetch-Site: cross-site"), 403, "another site"},
		"another site's origin":  {small.ask("POST", put, `{}`, asJSON, "Origin: http://evil.example"), 403, "another site"},
		"last event id":          {small.ask("GET", "/v1/events", "", "Last-Event-ID: x"), 400, "not a number"},
	} {
		if c.got.StatusCode != c.want || !strings.Contains(c.got.body, c.text) {
			t.Errorf("%s: %s %s", name, c.got.Status, c.got.body)
		}
	}
	infos, err := small.ListTables(t.Context())
	if err != nil || infos[0].GetPosition().GetSeq() != 0 {
		t.Errorf("something was changed: %v, %v", infos, err)
	}
}

// TestTwoAdmins: whoever comes second to a restore is told so, and the table is restored once at a time.
func TestTwoAdmins(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	if _, err := f.Table("fruit").Put(t.Context(), []byte("apple"), []byte("green")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	const admins = 8
	outcomes := make(chan error, admins)
	for range admins {
		go func() {
			client := messagesconnect.NewGabionServiceClient(http.DefaultClient, f.url)
			stream, err := client.RestoreTable(t.Context(), &messages.RestoreTable{Table: "fruit"})
			if err != nil {
				outcomes <- err
				return
			}
			defer func() { _ = stream.Close() }()
			for stream.Receive() {
			}
			outcomes <- stream.Err()
		}()
	}
	restored := 0
	for range admins {
		switch err := <-outcomes; {
		case err == nil:
			restored++
		case connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "restored already"):
			t.Error(err)
		}
	}
	value, err := f.Table("fruit").Get(t.Context(), []byte("apple"))
	if restored == 0 || err != nil || string(value) != "green" {
		t.Errorf("%d restored, %s, %v", restored, value, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestHeaders: every answer has them, a refusal too.
func TestHeaders(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	for _, path := range []string{"/", "/nope", "/healthz", "/metrics", "/assets/app.js"} {
		got := f.ask("GET", path, "")
		if p := got.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") ||
			!strings.Contains(p, "frame-ancestors 'none'") || got.Header.Get("Referrer-Policy") != "same-origin" ||
			(got.Header.Get("Cache-Control") != "no-store") != strings.HasPrefix(path, "/assets/") || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, got.Header)
		}
	}
	for _, page := range []string{f.ask("GET", "/", "").body, f.ask("GET", "/tables/fruit", "").body} {
		if strings.Contains(page, "style=") || strings.Contains(page, "<style") || strings.Contains(page, "onclick") || strings.Contains(page, "<script>") {
			t.Errorf("the policy forbids what is in the page\n%s", page)
		}
	}
}

// TestHandlerOptions: an error names every fault, with hints.
func TestHandlerOptions(t *testing.T) {
	h := newHost(t, t.TempDir()+"/d")
	_, err := NewHandler(h.Gabion, HandlerOptions{Prefix: "ops/", AdminToken: "short", ReadToken: "has a space in it, long", BackupAge: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"prefix", "admin token has 5 B", "read token holds a space", "backup age"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if hints := messages.Hints(err); len(hints) < 3 {
		t.Errorf("hints %q", hints)
	}
	if _, err := NewHandler(h.Gabion, HandlerOptions{AdminToken: adminToken, ReadToken: adminToken}); err == nil {
		t.Error("one token for both was taken")
	}
}

// TestKeptConnection: a connection that is kept serves what comes later, of the handler and of the host's own routes: the time that
// a client had to take an answer ends with that answer.
func TestKeptConnection(t *testing.T) {
	const stall = 50 * time.Millisecond
	f := newFace(t, HandlerOptions{Prefix: "/gabion", bounds: bounds{request: maxRequest, header: headerTimeout, stall: stall}}, func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/gabion/", h)
		mux.HandleFunc("/other", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
		return mux
	})
	host := strings.TrimSuffix(f.url, "/gabion")
	dials := 0
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials++
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, path := range []string{"/gabion/healthz", "/other", "/gabion/", "/gabion//", "/gabion/v1/events", "/gabion/healthz"} {
		response, err := client.Get(host + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if path == "/gabion/v1/events" {
			_ = response.Body.Close()
			continue
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		_ = response.Body.Close()
		began := time.Now()
		waitFor(t, func() bool { return time.Since(began) > 2*stall })
	}
	if dials > 2 { // the stream of events costs one
		t.Errorf("%d connections", dials)
	}
}
