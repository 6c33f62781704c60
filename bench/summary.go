package bench

import (
	"fmt"
	"slices"
	"strings"
)

// Row is a workload that a contender carried out, once in each round.
type Row struct {
	Workload  string   `json:"workload"`
	Contender string   `json:"contender"`
	Samples   []Sample `json:"samples"` // by round
}

// Spread is the middle of some figures, and the least and the most.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf returns the spread of figures; none have the zero Spread.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	s := Spread{Median: sorted[middle], Min: sorted[0], Max: sorted[len(sorted)-1]}
	if len(sorted)%2 == 0 {
		s.Median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return s
}

// Of returns the spread of one figure over the rounds.
func (r Row) Of(figure func(Sample) float64) Spread {
	var figures []float64
	for _, s := range r.Samples {
		figures = append(figures, figure(s))
	}
	return SpreadOf(figures)
}

// Ratio compares two rows round by round, in which both met the same machine: a's operations a second over b's.
func Ratio(a, b Row) Spread {
	var ratios []float64
	for i := range min(len(a.Samples), len(b.Samples)) {
		if b.Samples[i].Ops > 0 {
			ratios = append(ratios, a.Samples[i].PerSecond()/b.Samples[i].PerSecond())
		}
	}
	return SpreadOf(ratios)
}

// Markdown is a table of rows of one workload, each beside base, whose contender is named.
func Markdown(rows []Row, base string) string {
	var b strings.Builder
	beside := ""
	baseAt := slices.IndexFunc(rows, func(r Row) bool { return r.Contender == base })
	if baseAt >= 0 {
		beside = " × " + base + " |"
	}
	fmt.Fprintf(&b, "| contender | operations/s (min to max) |%s p50 µs | p99 µs | CPU µs | allocations | written |\n|---|--:|%s--:|--:|--:|--:|--:|\n",
		beside, strings.Repeat("--:|", min(1, len(beside))))
	for _, r := range rows {
		rate := r.Of(Sample.PerSecond)
		fmt.Fprintf(&b, "| %s | %.0f (%.0f to %.0f) |", r.Contender, rate.Median, rate.Min, rate.Max)
		if beside != "" {
			ratio := Ratio(r, rows[baseAt])
			fmt.Fprintf(&b, " %.2f (%.2f to %.2f) |", ratio.Median, ratio.Min, ratio.Max)
		}
		fmt.Fprintf(&b, " %s | %s | %.2f | %.1f | %.1f |\n", latency(r.Of(func(s Sample) float64 { return s.P50 }).Median),
			latency(r.Of(func(s Sample) float64 { return s.P99 }).Median), r.Of(func(s Sample) float64 { return s.CPU }).Median,
			r.Of(func(s Sample) float64 { return s.Allocs }).Median,
			r.Of(func(s Sample) float64 { return s.Written }).Median)
	}
	return b.String()
}

// latency is a time in µs; a load whose operations are not timed one by one has none.
func latency(micros float64) string {
	if micros == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", micros)
}
