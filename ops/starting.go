package ops

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// starting answers HTTP until the tables are served, or have said why not. A disk that hangs must not look like a host
// that is gone. It touches no disk.
type starting struct {
	guard *guard
	dir   string
	since time.Time
}

// ServeHTTP implements http.Handler.
func (s *starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	reason := fmt.Sprintf("directory %s is being opened for %v: where that lasts, its disk may not answer", s.dir, time.Since(s.since).Round(time.Second))
	if r.URL.Path == "/healthz" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("starting\n")) // who went away is told nothing
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	known := s.guard.of(r) != nobody && s.guard.checkSource(r) == nil
	if r.URL.Path == "/readyz" {
		state := readiness{}
		if known {
			state.Checks = []check{{Name: "start", Faults: []string{reason}}}
		}
		_ = json.NewEncoder(w).Encode(state)
		return
	}
	text := "the service is starting"
	if known {
		text += ": " + reason
	}
	writeFailure(w, messages.Failf(messages.Code_CODE_UNAVAILABLE, "%s", text).
		Advise("try again soon; where this lasts, look at the disk of the directory"))
}
