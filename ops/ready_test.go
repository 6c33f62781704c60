package ops

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// ready asks /readyz.
func (f *face) ready() (int, readiness, string) {
	f.Helper()
	got := f.ask("GET", "/readyz", "")
	var state readiness
	if err := json.Unmarshal([]byte(got.body), &state); err != nil {
		f.Fatalf("%s: %v", got.body, err)
	}
	return got.StatusCode, state, got.body
}

// faults are those of a check.
func (r readiness) faults(name string) string {
	for _, c := range r.Checks {
		if c.Name == name {
			return strings.Join(c.Faults, "; ")
		}
	}
	return "no such check"
}

// TestReady: 200 while all is well; 503, with the reason, for a table that is not open.
func TestReady(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	// A table that nobody asked to serve keeps nobody from being ready.
	if err := os.MkdirAll(f.dir+"/tables/stranger/01ARZ3NDEKTSV4RRFFQ69G5FAV", 0o755); err != nil {
		t.Fatal(err)
	}
	if infos, err := f.ListTables(t.Context()); err != nil || len(infos) != 3 {
		t.Fatalf("tables %v, %v", infos, err)
	}
	if status, state, text := f.ready(); status != 200 || !state.Ready || len(state.Checks) != 4 {
		t.Errorf("at first: %d %s", status, text)
	}
	if err := f.CloseTable(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if status, state, text := f.ready(); status != 503 || state.Ready || !strings.Contains(state.faults("tables"), "other is closed") {
		t.Errorf("a closed table: %d %s", status, text)
	}
	if got := f.ask("GET", "/healthz", ""); got.StatusCode != 200 || got.body != "ok\n" {
		t.Errorf("alive: %s %s", got.Status, got.body)
	}
}

// TestHealthAfterEvents: what is shown once an event was published is from after it, however young what is known is; and what is
// young serves everybody.
func TestHealthAfterEvents(t *testing.T) {
	h := newHost(t, t.TempDir()+"/d")
	m := newMonitor(h.Gabion)
	defer m.leave()
	asked := 0
	m.ask = func(context.Context) (*messages.HealthReport, error) {
		asked++
		return &messages.HealthReport{}, nil
	}
	for range 3 {
		m.latest(t.Context())
	}
	if asked != 1 {
		t.Errorf("asked %d times within a moment", asked)
	}
	if err := h.CloseTable(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.changes > 0
	})
	m.latest(t.Context())
	if asked != 2 {
		t.Errorf("asked %d times after an event", asked)
	}
}

// TestReadyAges: the limits are the host's, and what never was is as old as the handler.
func TestReadyAges(t *testing.T) {
	f := newFace(t, HandlerOptions{BackupAge: time.Hour, ProofAge: time.Hour}, nil)
	if status, _, text := f.ready(); status != 200 {
		t.Errorf("an hour is not over: %d %s", status, text)
	}
	f.handler.started = time.Now().Add(-2 * time.Hour)
	if status, state, text := f.ready(); status != 503 || !strings.Contains(state.faults("backups"), "fruit: last backup: none") || !strings.Contains(state.faults("proofs"), "other: last proof: none") {
		t.Errorf("never backed up: %d %s", status, text)
	}
	if _, err := f.BackupAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Verify(t.Context(), &messages.VerifyBackup{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { status, _, _ := f.ready(); return status == 200 })
	f.handler.ages.backup = time.Nanosecond
	if status, state, text := f.ready(); status != 503 || !strings.Contains(state.faults("backups"), "1ns is allowed") {
		t.Errorf("too old: %d %s", status, text)
	}
}

// TestReadyWhileDiskHangs: health that does not answer holds up nobody for long, is asked for once, and counts as long as it
// is young.
func TestReadyWhileDiskHangs(t *testing.T) {
	f := newFace(t, HandlerOptions{}, nil)
	hang, asked := make(chan struct{}), atomic.Int32{}
	ask := f.handler.monitor.ask
	f.handler.monitor.ask = func(ctx context.Context) (*messages.HealthReport, error) {
		asked.Add(1)
		<-hang
		return ask(ctx)
	}
	began := time.Now()
	for range 3 {
		if status, state, text := f.ready(); status != 503 || !strings.Contains(state.faults("health"), "no answer yet") {
			t.Errorf("while it hangs: %d %s", status, text)
		}
	}
	if took := time.Since(began); took > 3*(healthPatience+readyPatience) {
		t.Errorf("three answers took %v", took)
	}
	if got := f.ask("GET", "/metrics", ""); got.StatusCode != 200 || !strings.Contains(got.body, "gabion_health_timestamp_seconds 0\n") {
		t.Errorf("metrics: %s", got.Status)
	}
	if got := f.ask("GET", "/", "", asPage); got.StatusCode != 200 || !strings.Contains(got.body, "not known") {
		t.Errorf("page: %s", got.Status)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	close(hang)
	waitFor(t, func() bool { status, _, _ := f.ready(); return status == 200 })
	f.handler.monitor.mu.Lock()
	f.handler.monitor.at = time.Now().Add(-2 * freshHealth)
	f.handler.monitor.ask = func(context.Context) (*messages.HealthReport, error) {
		fault := messages.Failf(messages.Code_CODE_UNAVAILABLE, "the disk of the backups is away")
		return &messages.HealthReport{Faults: []*messages.Failure{fault}, Grade: messages.Grade_GRADE_YELLOW, Concerns: []string{fault.Error()}}, nil
	}
	f.handler.monitor.mu.Unlock()
	if status, state, text := f.ready(); status != 503 || !strings.Contains(state.faults("health"), "the disk of the backups is away") {
		t.Errorf("what health could not find out: %d %s", status, text)
	}
	if got := f.ask("GET", "/", "", asPage); !strings.Contains(got.body, "the disk of the backups is away") {
		t.Errorf("the page does not say what health could not find out: %s", got.body)
	}
	f.handler.monitor.mu.Lock()
	f.handler.monitor.at = time.Now().Add(-2 * staleHealth)
	asked.Store(0)
	f.handler.monitor.ask = func(context.Context) (*messages.HealthReport, error) {
		asked.Add(1)
		return nil, context.DeadlineExceeded
	}
	f.handler.monitor.mu.Unlock()
	if status, state, text := f.ready(); status != 503 || !strings.Contains(state.faults("health"), "no answer for 2m") {
		t.Errorf("what is known is old: %d %s", status, text)
	}
	if n := asked.Load(); n > 2 {
		t.Errorf("asked %d times for one request", n)
	}
}
