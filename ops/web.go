package ops

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// WebConfig is where and to whom a server answers HTTP. The zero value does not.
type WebConfig struct {
	// Address is HOST:PORT; empty means no HTTP. Anything but a loopback address needs a token, and TLS or Plain.
	Address string
	// AdminTokenFile and ReadTokenFile hold the tokens of HandlerOptions, with nothing but white space around.
	AdminTokenFile, ReadTokenFile string
	// CertFile and KeyFile are the certificate, with those that it rests on, and its key, in PEM. They are read anew when
	// they change.
	CertFile, KeyFile string
	// Plain allows HTTP without TLS beyond loopback: a proxy in front speaks TLS.
	Plain bool
	// ReadOnly refuses whatever changes anything.
	ReadOnly bool
	// BackupAge and ProofAge are those of HandlerOptions.
	BackupAge, ProofAge time.Duration
}

// loopback tells whether nothing but this machine reaches an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// read reads the files that the configuration names, and returns every fault of it and of them, with hints.
func (c WebConfig) read(logger *slog.Logger) (HandlerOptions, *certificate, error) {
	adminToken, adminErr := readToken(c.AdminTokenFile)
	readerToken, readerErr := readToken(c.ReadTokenFile)
	certificate, tlsErr := loadCertificate(c.CertFile, c.KeyFile, logger)
	o := HandlerOptions{ReadOnly: c.ReadOnly, AdminToken: adminToken, ReadToken: readerToken, BackupAge: c.BackupAge, ProofAge: c.ProofAge, Logger: logger}
	if adminToken == "" && readerToken == "" {
		o.Hosts = []string{"localhost"}
	}
	_, guardErr := newGuard(o)
	return o, certificate, errors.Join(c.check(), adminErr, readerErr, tlsErr, guardErr)
}

// check returns the faults that show without a file.
func (c WebConfig) check() error {
	var faults []error
	fault := func(hint, format string, args ...any) {
		faults = append(faults, messages.WithHint(fmt.Errorf(format+": %w", append(args, messages.ErrInvalid)...), hint))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		fault("give both, or neither", "one of http_cert_file and http_key_file is missing")
	}
	if c.Address == "" {
		return errors.Join(faults...)
	}
	if err := checkAddress(c.Address); err != nil {
		return errors.Join(append(faults, err)...)
	}
	if loopback(c.Address) {
		return errors.Join(faults...)
	}
	if c.AdminTokenFile == "" && c.ReadTokenFile == "" {
		fault("make a token with: (umask 077; openssl rand -hex 32 > FILE), and name it by --http-admin-token-file; or serve 127.0.0.1 alone",
			"http is %s, which others reach, and no token is set", c.Address)
	}
	if c.CertFile == "" && !c.Plain {
		fault("name a certificate by --http-cert-file and --http-key-file, or set --http-plain where a proxy in front speaks TLS",
			"http is %s, which others reach, and tokens would go there without TLS", c.Address)
	}
	return errors.Join(faults...)
}

// checkAddress returns what is wrong with HOST:PORT.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return messages.WithHint(fmt.Errorf("http is %q: %w", address, err), "write HOST:PORT, as in 127.0.0.1:7070")
	}
	return nil
}

// maxTokenFile bounds a file that holds a token, in bytes.
const maxTokenFile = 64 << 10

// readToken reads a file that holds a token; an empty path is no token.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := readNamed(path, maxTokenFile)
	if err != nil {
		return "", messages.WithHint(fmt.Errorf("read token: %w", err), "make one with: (umask 077; openssl rand -hex 32 > "+path+")")
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", messages.WithHint(fmt.Errorf("token file %s is empty", path), "make one with: (umask 077; openssl rand -hex 32 > "+path+")")
	}
	return token, nil
}

// Web answers HTTP for a Gabion of this process.
type Web struct {
	handler *Handler // nil until ready
	answers atomic.Pointer[http.Handler]
	options HandlerOptions
	address string
	*endpoint
}

// ListenWeb answers at c.Address. Close it before g stops, or beside it. An error names every fault of c.
func ListenWeb(ctx context.Context, g *actors.Gabion, c WebConfig, logger *slog.Logger) (*Web, error) {
	opened, err := c.open(ctx, cmp.Or(logger, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("listen on http: %w", err)
	}
	return opened.serve(g)
}

// openedWeb has its address, and answers nobody yet.
type openedWeb struct {
	options     HandlerOptions
	certificate *certificate
	listener    net.Listener
}

// open takes the address. Nothing is made before all that can be at fault was looked at.
func (c WebConfig) open(ctx context.Context, logger *slog.Logger) (*openedWeb, error) {
	o, certificate, err := c.read(logger)
	if err != nil {
		return nil, err
	}
	o.bounds = bounds{request: maxRequest, header: headerTimeout, stall: stallTimeout}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, messages.WithHint(err, "choose another port, or stop the program that listens there")
	}
	return &openedWeb{o, certificate, listener}, nil
}

// close gives the address free, where nothing was served.
func (w *openedWeb) close() error { return w.listener.Close() }

// serve answers for g from the first request on.
func (w *openedWeb) serve(g *actors.Gabion) (*Web, error) {
	web, err := w.answer(g.Dir())
	if err != nil {
		return nil, err
	}
	if err := web.ready(g); err != nil {
		return nil, errors.Join(err, web.endpoint.server.Close())
	}
	return web, nil
}

// answer answers that the directory is being opened, until ready.
func (w *openedWeb) answer(dir string) (*Web, error) {
	guard, err := newGuard(w.options)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on http: %w", err), w.close())
	}
	web := &Web{options: w.options}
	var first http.Handler = &starting{guard: guard, dir: dir, since: time.Now()}
	web.answers.Store(&first)
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		(*web.answers.Load()).ServeHTTP(rw, r)
	}), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	guests := newGuests(w.listener, w.options.bounds.connections(), nobody)
	guests.watch(server)
	scheme, listener := "http", net.Listener(guests)
	if w.certificate == nil {
		server.Protocols.SetUnencryptedHTTP2(true) // gRPC speaks nothing else
	} else {
		scheme = "https"
		server.Protocols.SetHTTP2(true)
		server.TLSConfig = &tls.Config{GetCertificate: w.certificate.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	web.address = listener.Addr().String()
	web.endpoint = serve("http", listener, server, w.options.bounds, w.options.Logger)
	w.options.Logger.Info("listening", "http", scheme+"://"+web.address+"/")
	return web, nil
}

// ready answers for g from now on.
func (w *Web) ready(g *actors.Gabion) error {
	handler, err := NewHandler(g, w.options)
	if err != nil {
		return fmt.Errorf("listen on http: %w", err)
	}
	w.handler = handler
	var answers http.Handler = handler
	w.answers.Store(&answers)
	return nil
}

// Address is HOST:PORT, with the port that was taken where none was given.
func (w *Web) Address() string { return w.address }

// Close refuses new requests, ends streams, has what waits for runs answered UNAVAILABLE, and waits for the other answers. When
// ctx ends first, it cuts their connections and returns an error.
func (w *Web) Close(ctx context.Context) error {
	if w.handler != nil {
		w.handler.Close()
	}
	return w.endpoint.close(ctx)
}

// checkHTTP is checkAddress for a setting; empty is no HTTP.
func checkHTTP(text string) error {
	if text == "" {
		return nil
	}
	return checkAddress(text)
}
