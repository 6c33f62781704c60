package test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

// TestReadyOnHungDisk: while every operation of the disk hangs, /readyz, /metrics and the pages answer within seconds, name the
// table that is stalled, and are well again when the disk is.
func TestReadyOnHungDisk(t *testing.T) {
	k := gabiontest.StartConfig(t, actors.Config{Tables: []string{"a", "b"}, StallAfter: 100 * time.Millisecond, DisableSchedule: true, DisableDrill: true})
	handler, err := ops.NewHandler(k.Gabion(), ops.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Close()
	ask := func(path string) (int, string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(ctx, "GET", path, nil)
		request.Header.Set("Accept", "text/html")
		handler.ServeHTTP(answer, request)
		if ctx.Err() != nil {
			t.Errorf("%s hangs with the disk", path)
		}
		return answer.Code, answer.Body.String()
	}
	if status, body := ask("/readyz"); status != http.StatusOK {
		t.Fatalf("at first %d %s", status, body)
	}
	release := k.Hang(func(gabiontest.Op) bool { return true })
	go func() { _, _ = k.Gabion().Table("a").Put(context.Background(), []byte("k"), []byte("v")) }()
	k.WaitState("a", messages.TableState_TABLE_STATE_STALLED, 10*time.Second)
	if status, body := ask("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "a is stalled") {
		t.Errorf("while it hangs %d %s", status, body)
	}
	for _, path := range []string{"/healthz", "/metrics", "/", "/tables/b"} {
		if status, body := ask(path); status != http.StatusOK {
			t.Errorf("%s while the disk hangs: %d %s", path, status, body)
		}
	}
	release()
	k.WaitState("a", messages.TableState_TABLE_STATE_OPEN, 10*time.Second)
	for deadline := time.Now().Add(10 * time.Second); ; {
		status, body := ask("/readyz")
		if status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("when the disk is well %d %s", status, body)
		}
	}
}
