package ops

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTokens: each request may do what its token allows, and nothing without one.
func TestTokens(t *testing.T) {
	f := newFace(t, HandlerOptions{AdminToken: adminToken, ReadToken: readToken_}, nil)
	const put, get = "/gabion.v1.GabionService/Put", "/gabion.v1.GabionService/ListTables"
	body := `{"table":"fruit","put":{"key":"YQ==","value":"MQ=="}}`
	bearer := func(token string) string { return "Authorization: Bearer " + token }
	for name, c := range map[string]struct {
		got  httpAnswer
		want int
	}{
		"put without":           {f.ask("POST", put, body, asJSON), 401},
		"put by the reader":     {f.ask("POST", put, body, asJSON, bearer(readToken_)), 403},
		"put by a wrong token":  {f.ask("POST", put, body, asJSON, bearer(adminToken+"x")), 401},
		"put by basic":          {f.ask("POST", put, body, asJSON, "Authorization: Basic YTpi"), 401},
		"put by an empty token": {f.ask("POST", put, body, asJSON, "Authorization: Bearer "), 401},
		"no such call without":  {f.ask("POST", "/gabion.v1.GabionService/Nope", `{}`, asJSON), 401},
		"list without":          {f.ask("POST", get, `{}`, asJSON), 401},
		"list by the reader":    {f.ask("POST", get, `{}`, asJSON, bearer(readToken_)), 200},
		"metrics without":       {f.ask("GET", "/metrics", ""), 401},
		"metrics by the reader": {f.ask("GET", "/metrics", "", bearer(readToken_)), 200},
		"events without":        {f.ask("GET", "/v1/events", ""), 401},
		"page without":          {f.ask("GET", "/tables/fruit", "", asPage), 303},
		"page by the reader":    {f.ask("GET", "/tables/fruit", "", asPage, bearer(readToken_)), 200},
		"alive without":         {f.ask("GET", "/healthz", ""), 200},
	} {
		if c.got.StatusCode != c.want {
			t.Errorf("%s: %s %s", name, c.got.Status, c.got.body)
		}
		if c.want == 401 && (c.got.Header.Get("WWW-Authenticate") == "" || !strings.Contains(c.got.body, "token")) {
			t.Errorf("%s: %v %s", name, c.got.Header, c.got.body)
		}
	}
	if infos, err := f.ListTables(t.Context()); err != nil || infos[0].GetPosition().GetSeq() != 0 {
		t.Errorf("something was written: %v, %v", infos, err)
	}
	if got := f.ask("POST", put, body, asJSON, bearer(adminToken)); got.StatusCode != 200 {
		t.Errorf("put by the admin: %s %s", got.Status, got.body)
	}
	if got := f.ask("GET", "/readyz", ""); got.StatusCode == 401 || strings.Contains(got.body, "checks") {
		t.Errorf("readiness without a token: %s %s", got.Status, got.body)
	}
	if got := f.ask("GET", "/readyz", "", bearer(readToken_)); !strings.Contains(got.body, "checks") {
		t.Errorf("readiness by the reader: %s %s", got.Status, got.body)
	}
}

// TestEveryProcedure: whatever could change something needs the admin's token.
func TestEveryProcedure(t *testing.T) {
	readers := map[string]bool{"Info": true, "Get": true, "Scan": true, "Walk": true, "ListTables": true, "ListBackups": true, "ShowBackup": true,
		"HealthMetrics": true, "Events": true, "ListHistory": true, "ListLosses": true}
	if len(procedures) < 20 {
		t.Fatalf("%d procedures", len(procedures))
	}
	for path, p := range procedures {
		name := path[strings.LastIndexByte(path, '/')+1:]
		if (p.needs == reader) != readers[name] {
			t.Errorf("%s needs %d", name, p.needs)
		}
	}
}

// TestSession: a browser signs in by a token, is let in by the cookie, and signs out.
func TestSession(t *testing.T) {
	f := newFace(t, HandlerOptions{AdminToken: adminToken, ReadToken: readToken_}, nil)
	const form = "Content-Type: application/x-www-form-urlencoded"
	if got := f.ask("GET", "/tables/fruit", "", asPage); got.Header.Get("Location") != "../login" {
		t.Errorf("sent to %q", got.Header.Get("Location"))
	}
	if got := f.ask("GET", "/login", "", asPage); got.StatusCode != 200 || !strings.Contains(got.body, `action="login"`) {
		t.Errorf("form: %s", got.Status)
	}
	for _, path := range []string{"/login", "/nope"} {
		if got := f.ask("GET", path, "", asPage); strings.Contains(got.body, f.dir) {
			t.Errorf("%s tells strangers of %s", path, f.dir)
		}
	}
	if got := f.ask("POST", "/login", "token=wrong", form, asPage); got.StatusCode != 401 || got.Header.Get("Set-Cookie") != "" || !strings.Contains(got.body, "not known") {
		t.Errorf("wrong token: %s %v", got.Status, got.Header)
	}
	if got := f.ask("POST", "/login", "token="+adminToken, form, asPage, "Sec-Fetch-Site: cross-site"); got.StatusCode != 403 {
		t.Errorf("from another site: %s", got.Status)
	}
	if got := f.ask("POST", "/login", "token="+strings.Repeat("x", maxForm), form, asPage); got.StatusCode != 400 {
		t.Errorf("a form that is too large: %s", got.Status)
	}
	sign := func(token string) string {
		got := f.ask("POST", "/login", "token="+token, form, asPage)
		cookies := got.Cookies()
		if got.StatusCode != 303 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Secure || strings.Contains(cookies[0].Value, token) {
			t.Fatalf("%s %v", got.Status, cookies)
		}
		return "Cookie: " + cookies[0].Name + "=" + cookies[0].Value
	}
	if got := f.ask("POST", "/login", "token="+adminToken, form, "X-Forwarded-Proto: https"); len(got.Cookies()) != 1 || !got.Cookies()[0].Secure {
		t.Errorf("behind a proxy with TLS: %v", got.Cookies())
	}
	asAdmin, asReader := sign(adminToken), sign(readToken_)
	if got := f.ask("GET", "/", "", asPage, asAdmin); got.StatusCode != 200 || !strings.Contains(got.body, "data-action") || !strings.Contains(got.body, "Sign out") {
		t.Errorf("admin: %s", got.Status)
	}
	if got := f.ask("GET", "/", "", asPage, asReader); got.StatusCode != 200 || strings.Contains(got.body, "data-action") {
		t.Errorf("reader: %s", got.Status)
	}
	// The level is signed, and so is the time.
	forged := strings.Replace(asReader, "="+"1.", "="+"2.", 1)
	if forged == asReader {
		t.Fatalf("the cookie is %s", asReader)
	}
	if got := f.ask("GET", "/", "", asPage, forged); got.StatusCode != 303 {
		t.Errorf("a forged session: %s", got.Status)
	}
	if got := f.ask("GET", "/", "", asPage, asAdmin, "Authorization: Bearer wrong"); got.StatusCode != 303 {
		t.Errorf("a wrong token beside a session: %s", got.Status)
	}
	if got := f.ask("GET", "/", "", asPage, asAdmin, "Authorization: Basic aG9zdDpwYXNz"); got.StatusCode != 200 {
		t.Errorf("a session beside what the host asks for: %s", got.Status)
	}
	if got := f.ask("GET", "/", "", asPage, "Authorization: Basic "+adminToken); got.StatusCode != 303 {
		t.Errorf("a token by another scheme: %s", got.Status)
	}
	if got := f.ask("POST", "/logout", "", asAdmin); got.StatusCode != 303 || got.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign out: %s %v", got.Status, got.Cookies())
	}
}

// TestSessionExpires: it ends by itself, and with a change of the tokens.
func TestSessionExpires(t *testing.T) {
	g, err := newGuard(HandlerOptions{AdminToken: adminToken})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	value := g.session(admin, now)
	// Made by a clock that was ahead, it would last for as long as that.
	if g.withSession(value, now.Add(-time.Hour)) != nobody || g.withSession(value, now.Add(-30*time.Second)) != admin {
		t.Error("a session of the future")
	}
	if g.withSession(value, now.Add(sessionLife-time.Second)) != admin || g.withSession(value, now.Add(sessionLife)) != nobody {
		t.Error("the session does not last as long as it should")
	}
	for _, changed := range []HandlerOptions{{AdminToken: adminToken + "2"}, {AdminToken: adminToken, ReadToken: readToken_}} {
		other, err := newGuard(changed)
		if err != nil {
			t.Fatal(err)
		}
		if other.withSession(value, now) != nobody {
			t.Error("the session outlives its token, or a change of the other")
		}
	}
	for _, bad := range []string{"", ".", "..", "2.9999999999.", "2.9999999999.AAAA", value + "A", "9" + value} {
		if g.withSession(bad, now) != nobody {
			t.Errorf("%q was let in", bad)
		}
	}
}

// TestHosts: without a token, a name that another site has made resolve here is refused.
func TestHosts(t *testing.T) {
	f := newFace(t, HandlerOptions{Hosts: []string{"localhost"}}, nil)
	for host, want := range map[string]int{"localhost:7070": 200, "LOCALHOST": 200, "127.0.0.1:7070": 200, "[::1]:7070": 200, "evil.example": 421, "localhost.evil.example": 421, "": 200} {
		headers := []string{}
		if host != "" {
			headers = append(headers, "Host: "+host)
		}
		if got := f.ask("GET", "/healthz", "", headers...); got.StatusCode != want {
			t.Errorf("%q: %s", host, got.Status)
		}
	}
}

// TestReadOnly: nobody changes anything, with whatever token.
func TestReadOnly(t *testing.T) {
	f := newFace(t, HandlerOptions{ReadOnly: true, AdminToken: adminToken}, nil)
	got := f.ask("POST", "/gabion.v1.GabionService/BackupAll", `{}`, asJSON, "Authorization: Bearer "+adminToken)
	if got.StatusCode != 403 || !strings.Contains(got.body, "reading only") {
		t.Errorf("%s %s", got.Status, got.body)
	}
	if got := f.ask("POST", "/gabion.v1.GabionService/ListTables", `{}`, asJSON, "Authorization: Bearer "+adminToken); got.StatusCode != 200 {
		t.Errorf("%s %s", got.Status, got.body)
	}
}
