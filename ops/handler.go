package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/dashboard"
	"github.com/gabiondb/gabion/ops/metrics"
)

// HandlerOptions configures NewHandler. The zero value gives everything to everybody who reaches the handler: it is for a host
// that asks who they are itself.
type HandlerOptions struct {
	// Prefix is the path under which the host's mux has the handler, such as "/ops/gabion". Empty means "/", or that the
	// host takes the path away itself, with http.StripPrefix.
	Prefix string
	// ReadOnly refuses whatever changes anything, whoever asks.
	ReadOnly bool
	// AdminToken may do everything, ReadToken read. With either set, a request needs one of them: as a bearer token, or as
	// a session of the dashboard. /healthz needs none, and of /readyz the verdict alone. They have 16 B to 1 KiB of ASCII
	// without spaces.
	AdminToken, ReadToken string
	// Hosts are the names, without ports, that requests may be addressed to, beside plain addresses. Set it where no token
	// is asked for: a page of another site could have a name of its own resolve to this host. Empty means any.
	Hosts []string
	// BackupAge and ProofAge are how old the last backup, or proof, of a table may be for /readyz. Zero means twice what the
	// schedule, or the drill, lets it become, without them any; for a table that has none, since the start.
	BackupAge, ProofAge time.Duration
	// Logger receives what goes wrong while serving. Nil means no logs.
	Logger *slog.Logger

	// bounds are what tests make smaller.
	bounds bounds
}

// Handler answers HTTP for one Gabion: GabionService by Connect, gRPC and gRPC-Web, /healthz, /readyz, /metrics, /v1/events and
// a dashboard. Every URL in an answer is relative.
type Handler struct {
	prefix  string
	guard   *guard
	gabion  *actors.Gabion
	monitor *monitor
	metrics *metrics.Metrics
	pages   *dashboard.Dashboard
	logger  *slog.Logger
	started time.Time
	ages    ages
	answer  http.Handler
	rooms   *rooms
	// ending is cancelled by Close: streams end, and what could take long is answered UNAVAILABLE.
	ending context.Context
	end    context.CancelFunc
}

// NewHandler makes the handler of g. Close it before g stops, or beside it. An http.Server that is to stop gracefully calls Close
// by RegisterOnShutdown: streams of events would hold it up.
//
// An error names every fault of the options, with hints.
func NewHandler(g *actors.Gabion, o HandlerOptions) (*Handler, error) {
	if o.bounds == (bounds{}) {
		o.bounds = bounds{request: maxRequest, header: headerTimeout, stall: stallTimeout}
	}
	guard, err := newGuard(o)
	if err = errors.Join(checkPrefix(o.Prefix), checkAges(o), err); err != nil {
		return nil, fmt.Errorf("make handler: %w", err)
	}
	h := &Handler{prefix: o.Prefix, guard: guard, gabion: g, monitor: newMonitor(g), started: time.Now(),
		ages: ages{backup: o.BackupAge, proof: o.ProofAge}, logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler))}
	h.ending, h.end = context.WithCancel(context.Background())
	h.metrics = metrics.New(g, moduleVersion(), h.monitor.latest)
	h.pages = dashboard.New(g, h.monitor.latest, h.logger)
	h.answer = bounded(h.ending, o.bounds, h.recovering(h.routes(o.bounds)))
	return h, nil
}

// checkPrefix returns what is wrong with a prefix.
func checkPrefix(prefix string) error {
	if prefix == "" || strings.HasPrefix(prefix, "/") && path.Clean(prefix) == prefix && prefix != "/" {
		return nil
	}
	return messages.WithHint(fmt.Errorf("prefix is %q: %w", prefix, messages.ErrInvalid), `write it like "/ops/gabion", or leave it empty`)
}

func checkAges(o HandlerOptions) error {
	if o.BackupAge >= 0 && o.ProofAge >= 0 {
		return nil
	}
	return messages.WithHint(fmt.Errorf("backup age is %v, proof age is %v: %w", o.BackupAge, o.ProofAge, messages.ErrInvalid),
		"leave an age zero for twice the interval")
}

// Close ends streams of events and walks, and has what waits for runs answered. It does not wait.
func (h *Handler) Close() {
	h.end()
	h.metrics.Close()
	h.monitor.leave()
}

// policy lets pages use what this handler serves, and nothing else: no script or style within a page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	at, under := strings.CutPrefix(r.URL.Path, h.prefix)
	switch {
	case under && at == "" && strings.HasPrefix(r.RequestURI, "/"):
		// The page's relative URLs need the slash. So does this one: what a host has taken away is unknown.
		where, _, _ := strings.Cut(r.RequestURI, "?")
		w.Header().Set("Location", "./"+path.Base(where)+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	case !under || at == "" || at[0] != '/':
		http.NotFound(w, r) // the host has sent what is not ours
		return
	}
	if h.prefix != "" {
		// As http.StripPrefix does: the caller's request stays as it is.
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = at, strings.TrimPrefix(r.URL.RawPath, h.prefix)
	}
	if !clean(at) {
		h.refuse(w, r, &refused{http.StatusNotFound, messages.Failf(messages.Code_CODE_NOT_FOUND, "no such page")})
		return
	}
	if no := h.guard.checkSource(r); no != nil {
		h.refuse(w, r, no)
		return
	}
	h.answer.ServeHTTP(w, r)
}

// clean tells whether a path is as it would be written. A mux would redirect what is not, to where the host does not have it.
func clean(at string) bool {
	cleaned := path.Clean(at)
	if strings.HasSuffix(at, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned == at
}

// recovering answers a request on which the handler panicked. An answer that has begun is cut off: whoever gets it must not take it
// for the whole.
func (h *Handler) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if reason != http.ErrAbortHandler {
				h.logger.Error("request panicked", "path", r.URL.Path, "reason", fmt.Sprint(reason), "stack", string(debug.Stack()))
			}
			if answer, ok := w.(*boundedWriter); reason == http.ErrAbortHandler || ok && answer.begun {
				panic(http.ErrAbortHandler)
			}
			h.refuse(w, r, &refused{http.StatusInternalServerError, messages.Failf(messages.Code_CODE_INTERNAL, "the server panicked on the request")})
		}()
		next.ServeHTTP(w, r)
	})
}
