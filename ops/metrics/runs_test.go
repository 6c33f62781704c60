package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// number is the value of a counter.
func number(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// TestRunsByEvents: each event is counted as what it tells of.
func TestRunsByEvents(t *testing.T) {
	r := newRuns()
	began, ended := timestamppb.New(time.Unix(100, 0)), timestamppb.New(time.Unix(102, 0))
	row := func(table string, outcome messages.Outcome, copied int64) *messages.TableResult {
		return &messages.TableResult{Table: table, Outcome: outcome, CopiedBytes: copied}
	}
	for _, event := range []proto.Message{
		&messages.BackupComplete{Started: began, Finished: ended, BackedUp: []*messages.TableResult{row("a", messages.Outcome_OUTCOME_BACKED_UP, 5),
			row("b", messages.Outcome_OUTCOME_CARRIED_FORWARD, 0)}},
		&messages.BackupComplete{Started: ended, Finished: began, Failed: []*messages.TableResult{row("a", messages.Outcome_OUTCOME_FAILED, 2)}},
		&messages.BackupVerified{Proof: &messages.Proof{Verdict: messages.Verdict_VERDICT_PROVEN, Started: began, Finished: ended}},
		&messages.BackupVerified{Proof: &messages.Proof{Verdict: messages.Verdict_VERDICT_RED, Started: began, Finished: ended}},
		&messages.TableRestored{Started: began, Finished: ended},
		&messages.TableRestored{Healed: true, Started: began, Finished: ended},
	} {
		r.handle(event)
	}
	if got := number(t, r.copied); got != 7 {
		t.Errorf("copied %v", got)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"complete", number(t, r.ended.WithLabelValues(complete)), 1},
		{"failed", number(t, r.ended.WithLabelValues(failed)), 1},
		{"partial", number(t, r.ended.WithLabelValues(partial)), 0},
		{"proven", number(t, r.verifies.WithLabelValues("proven")), 1},
		{"red", number(t, r.verifies.WithLabelValues("red")), 1},
		{"restored", number(t, r.restores.WithLabelValues("false")), 1},
		{"healed", number(t, r.restores.WithLabelValues("true")), 1},
		{"a backed up", float64(r.outcomesOf("a")[messages.Outcome_OUTCOME_BACKED_UP]), 1},
		{"a failed", float64(r.outcomesOf("a")[messages.Outcome_OUTCOME_FAILED]), 1},
		{"b carried forward", float64(r.outcomesOf("b")[messages.Outcome_OUTCOME_CARRIED_FORWARD]), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	for name, want := range map[string]float64{"runs": 2, "verifies": 4, "restores": 4} {
		h := map[string]prometheus.Metric{"runs": r.runSeconds, "verifies": r.verifySeconds, "restores": r.restoreSeconds}[name]
		var m dto.Metric
		if err := h.Write(&m); err != nil || m.GetHistogram().GetSampleCount() != 2 || m.GetHistogram().GetSampleSum() != want {
			t.Errorf("seconds of %s: %v, %v", name, m.GetHistogram(), err)
		}
	}
	// A table is forgotten when it was not there after it was last counted.
	now := time.Now()
	r.forget(map[string]bool{"b": true}, now.Add(-time.Hour))
	if r.outcomesOf("a")[messages.Outcome_OUTCOME_FAILED] != 1 {
		t.Error("forgot what was counted since")
	}
	r.forget(map[string]bool{"b": true}, now.Add(time.Hour))
	if r.outcomesOf("a")[messages.Outcome_OUTCOME_FAILED] != 0 || r.outcomesOf("b")[messages.Outcome_OUTCOME_CARRIED_FORWARD] != 1 {
		t.Error("forgot another, or nothing")
	}
}
