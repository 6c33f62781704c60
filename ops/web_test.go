package ops

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/messagesconnect"
)

// TestWebConfig: what others reach needs a token, and TLS; each error has a hint.
func TestWebConfig(t *testing.T) {
	safe := WebConfig{Address: "0.0.0.0:7070", AdminTokenFile: "t", CertFile: "c", KeyFile: "k"}
	for name, c := range map[string]struct {
		config WebConfig
		want   []string
	}{
		"none":             {WebConfig{}, nil},
		"loopback":         {WebConfig{Address: "127.0.0.1:7070"}, nil},
		"loopback, other":  {WebConfig{Address: "127.9.9.9:0"}, nil},
		"loopback, IPv6":   {WebConfig{Address: "[::1]:7070"}, nil},
		"loopback, mapped": {WebConfig{Address: "[::ffff:127.0.0.1]:7070"}, nil},
		"localhost":        {WebConfig{Address: "localhost:http"}, nil},
		"safe":             {safe, nil},
		"behind a proxy":   {WebConfig{Address: ":7070", ReadTokenFile: "t", Plain: true}, nil},
		"open":             {WebConfig{Address: ":7070"}, []string{"no token", "without TLS"}},
		"no TLS":           {WebConfig{Address: "192.0.2.1:7070", AdminTokenFile: "t"}, []string{"without TLS"}},
		"no token":         {WebConfig{Address: "[::]:7070", CertFile: "c", KeyFile: "k"}, []string{"no token"}},
		"a name":           {WebConfig{Address: "db.example:7070"}, []string{"no token", "without TLS"}},
		"half a key":       {WebConfig{CertFile: "c"}, []string{"http_key_file"}},
		"no port":          {WebConfig{Address: "127.0.0.1"}, []string{"127.0.0.1"}},
		"no such port":     {WebConfig{Address: "127.0.0.1:99999"}, []string{"99999"}},
	} {
		err := c.config.check()
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %q", name, err, want)
			}
		}
		if err != nil && len(messages.Hints(err)) < len(c.want) {
			t.Errorf("%s: hints %q", name, messages.Hints(err))
		}
	}
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certify writes a certificate with a serial number, and returns its pool.
func certify(t *testing.T, dir string, serial int64) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	certFile = writeFile(t, filepath.Join(dir, "cert.pem"), string(certPEM))
	keyFile = writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return certFile, keyFile, pool
}

// listenWeb opens the web of a host, and closes it with the test.
func listenWeb(t *testing.T, h *host, c WebConfig) *Web {
	t.Helper()
	w, err := ListenWeb(t.Context(), h.Gabion, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// TestWebTLS speaks HTTP/2 by TLS alone, and takes a renewed certificate without a restart.
func TestWebTLS(t *testing.T) {
	h, dir := newHost(t, t.TempDir()+"/d"), t.TempDir()
	certFile, keyFile, pool := certify(t, dir, 1)
	token := writeFile(t, filepath.Join(dir, "token"), "\n"+adminToken+" \n")
	w := listenWeb(t, h, WebConfig{Address: "127.0.0.1:0", AdminTokenFile: token, CertFile: certFile, KeyFile: keyFile})
	get := func(pool *x509.CertPool) (*http.Response, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+w.Address()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+adminToken)
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		return response, err
	}
	response, err := get(pool)
	if err != nil || response.StatusCode != 200 || response.ProtoMajor != 2 {
		t.Fatalf("%v, %v", response, err)
	}
	if got := askURL(t, "GET", "http://"+w.Address()+"/healthz", ""); got.StatusCode != 400 {
		t.Errorf("without TLS: %s", got.Status)
	}
	if conn, err := tls.Dial("tcp", w.Address(), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		_ = conn.Close()
		t.Error("spoke TLS 1.1")
	}
	_, _, renewed := certify(t, dir, 2)
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(certFile, later, later); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		response, err := get(renewed)
		return err == nil && response.TLS.PeerCertificates[0].SerialNumber.Int64() == 2
	})
	// Files that are being replaced leave the old one.
	writeFile(t, keyFile, "half a k")
	if err := os.Chtimes(keyFile, later.Add(time.Minute), later.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return time.Since(later.Add(-time.Minute)) > certificateLook })
	if _, err := get(renewed); err != nil {
		t.Error(err)
	}
}

// TestWebFaults: nothing is served by a configuration with faults, and each is told.
func TestWebFaults(t *testing.T) {
	h, dir := newHost(t, t.TempDir()+"/d"), t.TempDir()
	taken := listenWeb(t, h, WebConfig{Address: "127.0.0.1:0"})
	for name, c := range map[string]struct {
		config WebConfig
		want   string
	}{
		"taken":       {WebConfig{Address: taken.Address()}, "in use"},
		"no token":    {WebConfig{Address: "127.0.0.1:0", AdminTokenFile: filepath.Join(dir, "none")}, "no such file"},
		"empty token": {WebConfig{Address: "127.0.0.1:0", AdminTokenFile: writeFile(t, filepath.Join(dir, "empty"), "\n")}, "is empty"},
		"short token": {WebConfig{Address: "127.0.0.1:0", ReadTokenFile: writeFile(t, filepath.Join(dir, "short"), "abc\n")}, "3 B"},
		"no key":      {WebConfig{Address: "127.0.0.1:0", CertFile: "/none", KeyFile: "/none"}, "read certificate"},
		"open":        {WebConfig{Address: "0.0.0.0:0"}, "no token"},
	} {
		w, err := ListenWeb(t.Context(), h.Gabion, c.config, nil)
		if err == nil {
			_ = w.Close(context.Background())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || len(messages.Hints(err)) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStartWithWebFaults: a server that cannot answer HTTP makes no directory, and gives its address free where the tables are
// at fault.
func TestStartWithWebFaults(t *testing.T) {
	taken := listenWeb(t, newHost(t, t.TempDir()+"/d"), WebConfig{Address: "127.0.0.1:0"})
	dir := filepath.Join(t.TempDir(), "d")
	for _, c := range []WebConfig{{Address: taken.Address()}, {Address: "0.0.0.0:0"}, {Address: "127.0.0.1:0", AdminTokenFile: "none"}} {
		_, err := Start(t.Context(), &Config{Gabion: actors.Config{Dir: dir, Tables: []string{"a"}}, Web: c}, nil)
		if _, statErr := os.Stat(dir); err == nil || statErr == nil {
			t.Errorf("%+v: %v, and the directory: %v", c, err, statErr)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), &Config{Gabion: actors.Config{Dir: dir, Tables: []string{"BAD"}}, Web: WebConfig{Address: address}}, nil); err == nil {
		t.Error("a bad name was taken")
	}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
}

// TestHeaderBomb: a head that does not end is cut off, and the next client is answered.
func TestHeaderBomb(t *testing.T) {
	w := listenWeb(t, newHost(t, t.TempDir()+"/d"), WebConfig{Address: "127.0.0.1:0"})
	conn, err := net.Dial("tcp", w.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"); err != nil {
		t.Fatal(err)
	}
	line := "X-Bomb: " + strings.Repeat("b", 1000) + "\r\n"
	for range maxHeader/1000 + 10 {
		if _, err := conn.Write([]byte(line)); err != nil {
			break // cut off
		}
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
		t.Errorf("answered %q, %v", answer, err)
	}
	if got := askURL(t, "GET", "http://"+w.Address()+"/healthz", ""); got.StatusCode != 200 {
		t.Errorf("the next client: %s", got.Status)
	}
}

// TestWebHosts: where no token is asked for, a name of another site is refused; where one is, a proxy may use any.
func TestWebHosts(t *testing.T) {
	h := newHost(t, t.TempDir()+"/d")
	token := writeFile(t, filepath.Join(t.TempDir(), "token"), adminToken)
	for _, c := range []struct {
		config WebConfig
		want   int
	}{{WebConfig{Address: "127.0.0.1:0"}, 421}, {WebConfig{Address: "127.0.0.1:0", AdminTokenFile: token}, 401}} {
		w := listenWeb(t, h, c.config)
		if got := askURL(t, "GET", "http://"+w.Address()+"/metrics", "", "Host: evil.example"); got.StatusCode != c.want {
			t.Errorf("%+v: %s", c.config, got.Status)
		}
	}
}

// TestWebCloses with a stream of events open.
func TestWebCloses(t *testing.T) {
	h := newHost(t, t.TempDir()+"/d")
	w, err := ListenWeb(t.Context(), h.Gabion, WebConfig{Address: "127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &face{T: t, host: h, handler: w.handler, url: "http://" + w.Address()}
	events, end := f.listen(0)
	defer end()
	<-events
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.Close(ctx); err != nil {
		t.Error(err)
	}
}

// TestWebSpeaksGRPC without TLS, behind a proxy or on this machine.
func TestWebSpeaksGRPC(t *testing.T) {
	w := listenWeb(t, newHost(t, t.TempDir()+"/d"), WebConfig{Address: "127.0.0.1:0"})
	transport := &http.Transport{Protocols: unencryptedHTTP2()}
	defer transport.CloseIdleConnections()
	client := messagesconnect.NewGabionServiceClient(&http.Client{Transport: transport}, "http://"+w.Address(), connect.WithGRPC())
	if list, err := client.ListTables(t.Context(), &messages.ListTables{}); err != nil || len(list.GetTables()) != 2 {
		t.Errorf("tables %v, %v", list, err)
	}
}
