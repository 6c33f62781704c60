package main

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// TestPrintPrune: what was not done is not printed as done, and what an older server does not say is unknown.
func TestPrintPrune(t *testing.T) {
	const kept, removed, failed, foreseen = messages.RetentionOutcome_RETENTION_OUTCOME_KEPT, messages.RetentionOutcome_RETENTION_OUTCOME_REMOVED,
		messages.RetentionOutcome_RETENTION_OUTCOME_FAILED, messages.RetentionOutcome_RETENTION_OUTCOME_FORESEEN
	decision := func(outcome messages.RetentionOutcome, fault string) *messages.RetentionDecision {
		return &messages.RetentionDecision{Table: "a", BackupId: "1", Keep: outcome == kept, Reasons: []string{"why"}, Outcome: outcome, Fault: fault}
	}
	for _, test := range []struct {
		report *messages.PruneReport
		want   []string
	}{
		{&messages.PruneReport{Decisions: []*messages.RetentionDecision{decision(kept, ""), decision(removed, ""), decision(failed, "disk is broken")}},
			[]string{"a      1       kept         why\n", "a      1       removed      why\n", "a      1       not removed  disk is broken; why\n", "1 kept, 1 removed, 1 not removed, 0 B freed\n"}},
		{&messages.PruneReport{DryRun: true, Decisions: []*messages.RetentionDecision{decision(kept, ""), decision(foreseen, "")}, RemovedSets: []string{"x"}},
			[]string{"1 set without any backup would be removed\n", "1 kept, 1 would be removed, 0 B would be freed\n"}},
		{&messages.PruneReport{Decisions: []*messages.RetentionDecision{decision(0, "")}},
			[]string{"a      1       unknown  why\n", "0 kept, 0 removed, 1 unknown, 0 B freed\n"}},
	} {
		var b bytes.Buffer
		out := newOutput(&b)
		if err := printPrune(out, test.report); err != nil {
			t.Fatal(err)
		}
		_ = out.flush()
		for _, want := range test.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%v prints\n%swhere %q is missing", test.report, b.String(), want)
			}
		}
		b.Reset()
		if err := printReport(out, "", &messages.BackupReport{Retained: test.report.GetDecisions()}); err != nil {
			t.Fatal(err)
		}
		_ = out.flush()
		if failed := strings.Contains(test.want[len(test.want)-1], "1 not removed"); failed != strings.Contains(b.String(), ", 1 not removed\n") {
			t.Errorf("%v prints of a run\n%s", test.report, b.String())
		}
	}
}

// TestVerdictsBesideFailures: a verdict is printed though its proof could not be kept, and the exit code says that not all is well.
func TestVerdictsBesideFailures(t *testing.T) {
	failure := messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED, "keep proof: no space left").Advise("free some")
	proof := func(v messages.Verdict) *messages.Proof {
		return &messages.Proof{Verdict: v, Rows: 7, Started: timestamppb.Now(), Finished: timestamppb.Now()}
	}
	for _, test := range []struct {
		result *messages.VerifyResult
		row    string
		says   string
	}{
		{&messages.VerifyResult{Proof: proof(messages.Verdict_VERDICT_PROVEN), Failure: failure}, "proven   7     0 B   0s    keep proof: no space left\n",
			"gabion: backup 1 of table \"a\" is proven, but: keep proof: no space left\nhint: free some\n"},
		{&messages.VerifyResult{Proof: proof(messages.Verdict_VERDICT_RED), Failure: failure}, "red      7     0 B   0s    keep proof: no space left\n",
			"gabion: backup 1 of table \"a\" is red, but: keep proof: no space left\nhint: free some\ngabion: backup 1 of table \"a\" is red\n"},
		{&messages.VerifyResult{Failure: failure}, "unknown  -     -     -     keep proof: no space left\n",
			"gabion: backup 1 of table \"a\" has no verdict: keep proof: no space left\nhint: free some\n"},
	} {
		test.result.Table, test.result.BackupId = "a", "1"
		report := &messages.VerifyReport{Results: []*messages.VerifyResult{test.result}}
		var printed, said bytes.Buffer
		out := newOutput(&printed)
		if err := printVerified(out, "", report); err != nil {
			t.Fatal(err)
		}
		_ = out.flush()
		if !strings.HasSuffix(printed.String(), test.row) {
			t.Errorf("%v prints\n%s, want %q", test.result, printed.String(), test.row)
		}
		err := unproven(report)
		complain(&said, false, err)
		if !strings.HasPrefix(said.String(), test.says) || exitCode(err) != exitPartial {
			t.Errorf("%v says\n%s, exit code %d", test.result, said.String(), exitCode(err))
		}
	}
}
