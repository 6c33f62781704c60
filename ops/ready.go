package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

const (
	// readyPatience is how long /readyz waits for the states of the tables.
	readyPatience = time.Second
	// staleHealth is how old health may be that /readyz believes.
	staleHealth = time.Minute
)

// ages are how old a backup and a proof may be; zero means what the table's row says of it.
type ages struct{ backup, proof time.Duration }

// check is one of the things that /readyz looks at.
type check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Faults say what is wrong, a line for each table.
	Faults []string `json:"faults,omitempty"`
}

// readiness is the body of /readyz.
type readiness struct {
	Ready  bool    `json:"ready"`
	Checks []check `json:"checks,omitempty"`
}

// healthz tells that the process is alive, and nothing else.
func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readyz tells whether every table is open and its backups are young enough. Those who may not read are told the verdict
// alone.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	state := h.readiness(r.Context())
	if h.guard.of(r) == nobody {
		state.Checks = nil
	}
	w.Header().Set("Content-Type", "application/json")
	if !state.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(state) // who went away is told nothing
}

func (h *Handler) readiness(ctx context.Context) readiness {
	tables := make(chan check, 1) // side by side: each may take its second
	go func() {
		c := check{Name: "tables"}
		defer func() {
			if reason := recover(); reason != nil { // nobody else guards this goroutine
				c.Faults = append(c.Faults, fmt.Sprintf("states are not known: panic: %v", reason))
			}
			tables <- c
		}()
		c = h.checkTables(ctx)
	}()
	report, at := h.monitor.latest(ctx)
	checks := []check{<-tables, checkHealth(report, at)}
	now := time.Now()
	checks = append(checks, checkRows("backups", report, func(row *messages.TableHealth) string {
		if !row.Knows(messages.Figure_FIGURE_LAST_BACKUP) {
			return "last backup: unknown"
		}
		return h.tooOld("last backup", row.GetLastSuccess(), row.GetBackupOverdue(), h.ages.backup, now)
	}), checkRows("proofs", report, func(row *messages.TableHealth) string {
		if !row.Knows(messages.Figure_FIGURE_LAST_PROOF) {
			return "last proof: unknown"
		}
		return h.tooOld("last proof", row.GetLastProof(), row.GetProofOverdue(), h.ages.proof, now)
	}))
	state := readiness{Ready: true, Checks: checks}
	for i := range checks {
		checks[i].OK = len(checks[i].Faults) == 0
		state.Ready = state.Ready && checks[i].OK
	}
	return state
}

// checkTables asks the supervisor, which no disk holds up.
func (h *Handler) checkTables(ctx context.Context) check {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	c := check{Name: "tables"}
	tables, err := h.gabion.ListTables(ctx)
	if err != nil {
		c.Faults = append(c.Faults, fmt.Sprintf("states are not known: %v", err))
	}
	for _, t := range tables {
		if t.GetState() == messages.TableState_TABLE_STATE_OPEN || t.GetUnconfigured() {
			continue
		}
		text := fmt.Sprintf("%s is %s", t.GetTable(), show.State(t.GetState()))
		if t.GetReason() != "" {
			text += ": " + t.GetReason()
		}
		c.Faults = append(c.Faults, text)
	}
	return c
}

func checkHealth(report *messages.HealthReport, at time.Time) check {
	c := check{Name: "health"}
	switch age := time.Since(at); { // monotonic: no clock that is set makes it young
	case report == nil:
		c.Faults = append(c.Faults, "no answer yet: a disk may hang")
	case age > staleHealth:
		c.Faults = append(c.Faults, fmt.Sprintf("no answer for %v: a disk may hang", age.Round(time.Second)))
	}
	for _, f := range report.GetFaults() {
		c.Faults = append(c.Faults, f.Error())
	}
	return c
}

// checkRows has look say what is wrong with each table, "" for nothing.
func checkRows(name string, report *messages.HealthReport, look func(*messages.TableHealth) string) check {
	c := check{Name: name}
	for _, row := range report.GetTables() {
		if fault := look(row); fault != "" {
			c.Faults = append(c.Faults, row.GetTable()+": "+fault)
		}
	}
	return c
}

// tooOld says that something is older than it may be. What never was is as old as the handler.
func (h *Handler) tooOld(what string, last *timestamppb.Timestamp, overdue bool, limit time.Duration, now time.Time) string {
	since, text := h.started, what+": none"
	if last != nil {
		since = last.AsTime()
		text = fmt.Sprintf("%s is %v old", what, now.Sub(since).Round(time.Second))
	}
	switch {
	case limit == 0 && overdue:
		return text + ", which is overdue"
	case limit > 0 && now.Sub(since) > limit:
		return fmt.Sprintf("%s, %v is allowed", text, limit)
	}
	return ""
}
