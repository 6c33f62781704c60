package main

import (
	"testing"

	"github.com/gabiondb/gabion/messages"
)

func TestSetStatus(t *testing.T) {
	set := &messages.BackupSet{Results: []*messages.TableResult{
		{Table: "a", Outcome: messages.Outcome_OUTCOME_BACKED_UP, BackupId: "1"},
		{Table: "b", Outcome: messages.Outcome_OUTCOME_CARRIED_FORWARD, BackupId: "2"},
		{Table: "c", Outcome: messages.Outcome_OUTCOME_FAILED},
	}}
	whole := &messages.BackupSet{Results: set.GetResults()[:2]}
	for _, test := range []struct {
		set   *messages.BackupSet
		there map[string]bool
		want  string
	}{
		{whole, map[string]bool{"a/1": true, "b/2": true}, "complete"},
		{whole, map[string]bool{"a/1": true, "a/2": true}, "thinned: 1 of 2 left"},
		{whole, nil, "complete"},
		{set, map[string]bool{"a/1": true, "b/2": true}, "partial: failed c"},
		{set, map[string]bool{"b/2": true}, "partial: failed c; thinned: 1 of 3 left"},
	} {
		if got := setStatus(test.set, test.there); got != test.want {
			t.Errorf("status is %q, want %q", got, test.want)
		}
	}
}
