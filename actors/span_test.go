package actors_test

import (
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gabiondb/gabion/actors"
)

// TestSpans: a run is a trace with each cut and publish in it, a verify and a restore are spans, and what fails says so.
func TestSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	config := actors.Config{Tables: []string{"a", "b"}, TracerProvider: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))}
	bubble(t, config, func(h *host) {
		h.put("a", "key", "value")
		if err := h.g.CloseTable(h.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		h.backup()
		ended := recorder.Ended()
		find := func(name, table string) sdk.ReadOnlySpan {
			t.Helper()
			for _, s := range recorder.Ended() {
				of := ""
				for _, a := range s.Attributes() {
					if a.Key == "gabion.table" {
						of = a.Value.AsString()
					}
				}
				if s.Name() == name && of == table {
					return s
				}
			}
			t.Fatalf("no span %s of %q in %v", name, table, ended)
			return nil
		}
		run := find("gabion.run", "")
		for _, s := range []sdk.ReadOnlySpan{find("gabion.cut", "a"), find("gabion.cut", "b"), find("gabion.publish", "a")} {
			if s.Parent().SpanID() != run.SpanContext().SpanID() || s.SpanContext().TraceID() != run.SpanContext().TraceID() {
				t.Errorf("%s is not in the run", s.Name())
			}
		}
		if s := find("gabion.cut", "b"); s.Status().Code != codes.Error || s.Status().Description == "" {
			t.Errorf("the cut that failed: %v", s.Status())
		}
		if run.Status().Code != codes.Error || find("gabion.publish", "a").Status().Code != codes.Unset {
			t.Errorf("the run: %v", run.Status())
		}
		if _, err := h.g.VerifyBackup(h.Context(), "a", ""); err != nil {
			t.Fatal(err)
		}
		if s := find("gabion.verify", "a"); s.Status().Code != codes.Unset {
			t.Errorf("the verify: %v", s.Status())
		}
		if _, err := h.g.RestoreTable(h.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		find("gabion.restore", "a")
		if len(recorder.Started()) != len(recorder.Ended()) {
			t.Errorf("%d spans began, %d ended", len(recorder.Started()), len(recorder.Ended()))
		}
	})
}

// TestSpansOfFailures: what failed is the status of its span, and of the run's.
func TestSpansOfFailures(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	config := actors.Config{Tables: []string{"a"}, TracerProvider: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))}
	bubble(t, config, func(h *host) {
		// last is the status of the newest span of a name.
		last := func(name string) sdk.Status {
			t.Helper()
			for _, s := range slices.Backward(recorder.Ended()) {
				if s.Name() == name {
					return s.Status()
				}
			}
			t.Fatalf("no span %s", name)
			return sdk.Status{}
		}
		failed := func(name string) {
			t.Helper()
			if got := last(name); got.Code != codes.Error || got.Description == "" {
				t.Errorf("%s ended with %v", name, got)
			}
		}
		h.put("a", "key", "value")
		heal := h.fs.on(under(backups+"/a", "create"), func(fileOp) error { return errInjected })
		h.backup()
		failed("gabion.publish")
		failed("gabion.run")
		heal()
		heal = h.fs.on(func(o fileOp) bool { return strings.Contains(o.path, "/sets/") }, func(fileOp) error { return errInjected })
		if rows := h.backup(); rows["a"].GetFailure() != nil {
			t.Fatalf("run %v", rows)
		}
		if got := last("gabion.publish"); got.Code != codes.Unset {
			t.Errorf("the publish ended with %v", got)
		}
		failed("gabion.run")
		heal()
		h.put("a", "key", "another value")
		id := h.backup()["a"].GetBackupId()
		if got := last("gabion.run"); got.Code != codes.Unset {
			t.Errorf("the run ended with %v", got)
		}
		if _, err := h.g.RestoreTable(h.Context(), "b"); err == nil {
			t.Fatal("restored what is not there")
		}
		failed("gabion.restore")
		h.damage(h.sstable(h.backupPath("a", id)))
		if _, err := h.g.VerifyBackup(h.Context(), "a", id); err == nil {
			t.Fatal("proven all the same")
		}
		failed("gabion.verify")
	})
}
