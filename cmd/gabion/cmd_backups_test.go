package main

import (
	"testing"

	"github.com/gabiondb/gabion/messages"
)

func TestSetStatus(t *testing.T) {
	for _, test := range []struct {
		status *messages.SetStatus
		want   string
	}{
		{&messages.SetStatus{}, "complete"},
		{&messages.SetStatus{Gone: []string{"b"}}, "thinned: 2 of 3 left, gone b"},
		{&messages.SetStatus{Failed: []string{"c"}}, "partial: failed c"},
		{&messages.SetStatus{Failed: []string{"c"}, Gone: []string{"a", "b"}}, "partial: failed c; thinned: 0 of 3 left, gone a, b"},
		{nil, "-"},
	} {
		if got := setStatus(test.status, 3); got != test.want {
			t.Errorf("status is %q, want %q", got, test.want)
		}
	}
}
