package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(idleDir) != "" { // the process that idles, which TestQuick starts
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestQuick: one round of a little measures every row, and writes the figures, the tables and the plots.
func TestQuick(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if err := run([]string{"-quick", "-dir", t.TempDir(), "-out", out}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(out, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r results
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads(nil) {
		for _, turn := range w.turns {
			row := r.row(w.name, turn.name)
			if len(row.Samples) != 1 || row.Samples[0].Ops == 0 || row.Samples[0].Seconds <= 0 {
				t.Errorf("%s, %s: %+v", w.name, turn.name, row)
			}
		}
	}
	const figures = 21
	if len(r.Figures) != figures || len(r.Beside) != 1 || len(r.Big) != 7 || len(r.Nine) != 2 || len(r.Cut) != 1 || len(r.GroupSizes) != 1 || r.Idle == nil || r.Machine.Processor == "" || r.Machine.FileSystem == "" {
		t.Errorf("%d figures, want %d; %+v", len(r.Figures), figures, r)
	}
	if b := r.Beside[0]; b.Before.Ops == 0 || b.During.Ops == 0 || b.BackupSeconds <= 0 {
		t.Errorf("beside a backup: %+v", b)
	}
	for _, w := range workloads(nil) {
		if !slices.ContainsFunc(r.Conditions, func(c condition) bool { return c.Workload == w.name && c.Rows == 2000 && c.ValueBytes == w.valueBytes }) {
			t.Errorf("conditions %+v lack %s", r.Conditions, w.name)
		}
	}
	if len(r.Profiles) != len(profiled) {
		t.Errorf("%d profiles, want %d", len(r.Profiles), len(profiled))
	}
	for _, p := range r.Profiles {
		sum := 0.0
		for _, s := range p.Shares {
			sum += s.Share
		}
		if sum < 0.999 || sum > 1.001 || len(p.Shares) == 0 {
			t.Errorf("profile %+v", p)
		}
	}
	for _, step := range r.Big {
		if step.Seconds <= 0 || step.Bytes <= 0 {
			t.Errorf("%+v", step)
		}
	}
	for _, f := range r.Figures {
		// What is taken off the runs over nine tables may be more than they took. Tables that idle may use less than the kernel counts,
		// and short times without an answer are not noted.
		if f.Got.Median < 0 && !strings.Contains(f.What, "nine") && !strings.Contains(f.What, "cold") || f.Got.Median == 0 && !strings.Contains(f.What, "processor") && !strings.Contains(f.What, "without an answer") {
			t.Errorf("figure %+v", f)
		}
	}
	text, err := os.ReadFile(filepath.Join(out, "results.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads(nil) {
		if !strings.Contains(string(text), "### "+w.name) {
			t.Errorf("results.md lacks %s", w.name)
		}
	}
	for _, heading := range []string{"### Where the processor time goes", "### Puts that arrive", "### 20 tables that nobody uses", "### One table of", "### Runs over nine"} {
		if !strings.Contains(string(text), heading) {
			t.Errorf("results.md lacks %q", heading)
		}
	}
	for _, name := range []string{"put.svg", "get.svg", "ycsb.svg"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() < 1000 || info.Size() > 100_000 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// TestRounds: each contender has one turn in every round, each workload begins with another one each time, and Pebble is
// given the groups of the round under way.
func TestRounds(t *testing.T) {
	for _, w := range workloads(nil) {
		firsts := map[string]bool{}
		for round := range 2 * len(w.turns) {
			order := map[string]int{}
			for i, turn := range w.inRound(round) {
				order[turn.name] = i
				firsts[turn.name] = firsts[turn.name] || i == 0
			}
			if len(order) != len(w.turns) {
				t.Errorf("%s, round %d: turns %v", w.name, round, order)
			}
			if takes, ok := order[takesGroups]; ok && takes < order[sendsGroups] {
				t.Errorf("%s, round %d: turns %v", w.name, round, order)
			}
		}
		for _, turn := range w.turns {
			if !firsts[turn.name] && turn.name != takesGroups {
				t.Errorf("%s never begins with %s", w.name, turn.name)
			}
		}
	}
}
