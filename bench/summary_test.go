package bench

import (
	"strings"
	"testing"
)

func row(contender string, ops ...int64) Row {
	r := Row{Workload: "put", Contender: contender}
	for _, n := range ops {
		r.Samples = append(r.Samples, Sample{Ops: n, Seconds: 2})
	}
	return r
}

// TestRatio compares round by round, not medians.
func TestRatio(t *testing.T) {
	a, b := row("a", 10, 40, 90), row("b", 20, 40, 30)
	if got, want := Ratio(a, b), (Spread{Median: 1, Min: 0.5, Max: 3}); got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
	if got, want := a.Of(Sample.PerSecond), (Spread{Median: 20, Min: 5, Max: 45}); got != want {
		t.Errorf("rate %v, want %v", got, want)
	}
	if got, want := SpreadOf([]float64{4, 1, 2, 3}), (Spread{Median: 2.5, Min: 1, Max: 4}); got != want {
		t.Errorf("spread %v, want %v", got, want)
	}
	if got := SpreadOf(nil); got != (Spread{}) {
		t.Errorf("spread of nothing: %v", got)
	}
	text := Markdown([]Row{a, b}, "b")
	for _, want := range []string{"(min to max) | × b |", "| a | 20 (5 to 45) | 1.00 (0.50 to 3.00) |", "| b | 15 (10 to 20) | 1.00 (1.00 to 1.00) |"} {
		if !strings.Contains(text, want) {
			t.Errorf("table lacks %q:\n%s", want, text)
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines {
		if strings.Count(line, "|") != strings.Count(lines[0], "|") {
			t.Errorf("lines of different lengths:\n%s", text)
		}
	}
}
