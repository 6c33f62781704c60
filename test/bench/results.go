package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gabiondb/gabion/bench"
)

// results is results.json.
type results struct {
	Machine    bench.Machine `json:"machine"`
	Rounds     int           `json:"rounds"`
	Rows       int           `json:"rows"`
	Seconds    float64       `json:"seconds"`
	CacheBytes int           `json:"cache_bytes"`
	BigRows    int           `json:"big_rows"`
	NineBytes  int           `json:"nine_bytes"`
	// GroupSizes are the operations of Gabion's groups in the workload of the sender that does not wait, by round.
	GroupSizes []int          `json:"group_sizes"`
	Conditions []condition    `json:"conditions"`
	Loads      []bench.Row    `json:"loads"`
	Beside     []besideBackup `json:"beside_backup"`
	Cut        []besideBackup `json:"cut_of_a_big_table"`
	Big        []timing       `json:"big_table"`
	Nine       []nineTables   `json:"nine_tables"`
	Profiles   []apart        `json:"profiles"`
	// BackupProfiles are of the steps of the big table.
	BackupProfiles []apart      `json:"backup_profiles"`
	Idle           *idleFigures `json:"idle_tables,omitempty"`
	Figures        []figure     `json:"figures"`
}

// condition is what a workload met. The accounting is in the contender's name.
type condition struct {
	Workload   string `json:"workload"`
	Rows       int    `json:"rows"`
	ValueBytes int    `json:"value_bytes"`
	KeyBytes   int    `json:"key_bytes"`
	Compaction string `json:"compaction"`
}

// besideBackup is puts that arrive at a rate, before a backup and beside it.
type besideBackup struct {
	Rate           float64      `json:"rate"`
	Rows           uint64       `json:"rows"`
	ValueBytes     int          `json:"value_bytes"`
	BackupSeconds  float64      `json:"backup_seconds"`
	Before         bench.Sample `json:"before"`
	During         bench.Sample `json:"during"`
	QuietGapMillis float64      `json:"longest_without_answer_before_ms"`
	GapMillis      float64      `json:"longest_without_answer_ms"`
	CutGapMillis   float64      `json:"longest_without_answer_at_the_cut_ms"`
}

func (b besideBackup) bytes() uint64 { return b.Rows * uint64(b.ValueBytes+bench.KeyBytes) }

// timing is one step.
type timing struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"` // that were copied, or read
}

// nineTables are two runs, over nine big and nine small tables.
type nineTables struct {
	Bytes       int        `json:"bytes"` // of each big table
	Rows        int        `json:"rows"`  // new ones of each table
	Cold        bool       `json:"cold"`  // the page cache had nothing of the tables
	Seconds     [2]float64 `json:"seconds"`
	Copied      [2]int64   `json:"copied_bytes"`
	CopySeconds [2]float64 `json:"cp_seconds"`
}

func (n nineTables) cache() string {
	if n.Cold {
		return "cold"
	}
	return "warm"
}

// figure is one that the design promises.
type figure struct {
	What   string       `json:"what"`
	Target float64      `json:"target"`
	Most   bool         `json:"at_most"` // the target is the most, not the least
	Got    bench.Spread `json:"got"`
}

// reached tells whether the median is what was promised.
func (f figure) reached() bool {
	if f.Most {
		return f.Got.Median <= f.Target
	}
	return f.Got.Median >= f.Target
}

func (r *results) add(w workload, contender string, s bench.Sample) {
	i := slices.IndexFunc(r.Loads, func(row bench.Row) bool { return row.Workload == w.name && row.Contender == contender })
	if i < 0 {
		i = len(r.Loads)
		if !slices.ContainsFunc(r.Conditions, func(c condition) bool { return c.Workload == w.name }) {
			r.Conditions = append(r.Conditions, condition{Workload: w.name, Rows: r.Rows, ValueBytes: w.valueBytes, KeyBytes: bench.KeyBytes, Compaction: bench.Compaction})
		}
		r.Loads = append(r.Loads, bench.Row{Workload: w.name, Contender: contender})
	}
	r.Loads[i].Samples = append(r.Loads[i].Samples, s)
}

// row returns what a contender did; it has no samples where that was left out.
func (r *results) row(workload, contender string) bench.Row {
	for _, row := range r.Loads {
		if row.Workload == workload && row.Contender == contender {
			return row
		}
	}
	return bench.Row{}
}

// judge fills in the figures.
func (r *results) judge() {
	ratio := func(what string, target float64, a, b bench.Row) {
		if len(a.Samples) > 0 && len(b.Samples) > 0 {
			r.Figures = append(r.Figures, figure{What: what, Target: target, Got: bench.Ratio(a, b)})
		}
	}
	const sender = "put, one sender that does not wait"
	atCut := r.row(sender, "gabion at_cut")
	ratio("one sender that does not wait, at_cut, × Pebble NoSync by one goroutine", 1, atCut, r.row(sender, "pebble NoSync"))
	ratio("the same × Pebble Sync by 512 goroutines", 2, atCut, r.row(sender, "pebble, 512 callers"))
	ratio("the same × Pebble given the same groups", 0.6, atCut, r.row(sender, takesGroups))
	ratio("the same, exact, fresh keys, × at_cut", 0.3, r.row(sender, "gabion exact"), atCut)
	ratio("the same, exact, overwrites in cache, × at_cut", 0.25, r.row(sender, "gabion exact, overwrites"), atCut)
	for _, callers := range []string{"64", "512"} {
		w := "put, " + callers + " callers"
		ratio("durable puts by "+callers+" callers, at_cut, × Pebble", 1, r.row(w, "gabion at_cut"), r.row(w, "pebble"))
		ratio("durable puts by "+callers+" callers, exact, × Pebble", 1, r.row(w, "gabion exact"), r.row(w, "pebble"))
	}
	for _, callers := range []string{"1 caller", "64 callers"} {
		w := "get, " + callers
		ratio("Get by "+callers+", typed handle, × Pebble", 0.8, r.row(w, "gabion exact"), r.row(w, "pebble"))
		ratio("Get by "+callers+", message with Future, × Pebble", 0.35, r.row(w, "gabion message"), r.row(w, "pebble"))
	}
	most := func(what string, target float64, got []float64) {
		if len(got) > 0 {
			r.Figures = append(r.Figures, figure{What: what, Target: target, Most: true, Got: bench.SpreadOf(got)})
		}
	}
	var p99, gaps []float64
	for _, b := range r.Beside {
		p99 = append(p99, b.During.P99/max(1, b.Before.P99))
	}
	most("p99 of puts beside a backup, at half the capacity, × that before it", 3, p99)
	for _, b := range r.Cut {
		gaps = append(gaps, b.CutGapMillis)
	}
	if len(r.Cut) > 0 {
		most(fmt.Sprintf("longest time without an answer at the cut of a table of %.1f GB, ms", float64(r.Cut[0].bytes())/1e9), 100, gaps)
	}
	r.judgeBig(most)
	var nine [2][]float64
	for _, n := range r.Nine {
		i := 0
		if n.Cold {
			i = 1
		}
		nine[i] = append(nine[i], (n.Seconds[0]-max(0, n.CopySeconds[0]-n.CopySeconds[1])/0.7)/n.Seconds[1])
	}
	most("a run over nine big tables, less the copy of more sstables at 0.7 × cp, × nine small ones", 1.5, nine[0])
	most("the same, the page cache cold", 1.5, nine[1])
	if i := r.Idle; i != nil {
		most(fmt.Sprintf("%d idle tables: opening them again, s", i.Tables), 6, []float64{i.OpenSeconds})
		most("the same: resident memory, MB", 400, []float64{i.ResidentMB})
		most("the same: % of one processor", 1, []float64{100 * i.Processor})
		most("the same, once each was written: % of one processor", 1, []float64{100 * i.Written})
	}
}

// rocksRows are the rows of 100 B that RocksDB's BackupEngine was timed with, on the machine of the design: another one makes
// the comparison as good as it is like that one.
const rocksRows = 5_000_000

var rocksSeconds = map[string]float64{firstBackup: 2.7, nextBackup: 0.09, verifyStep: 0.56, restoreStep: 2.3}

// judgeBig holds the steps of the big table against RocksDB's, if they are of as many rows.
func (r *results) judgeBig(most func(what string, target float64, got []float64)) {
	for _, step := range r.Big {
		if seconds, ok := rocksSeconds[step.What]; ok && r.BigRows == rocksRows {
			most(step.What+", s; RocksDB BackupEngine on the machine of the design", seconds, []float64{step.Seconds})
		}
	}
}

// write writes results.json, results.md and the plots.
func (r *results) write(dir string) error {
	r.judge()
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.md"), []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	return r.plot(dir)
}

func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n%d rounds of %v s, %d rows at the start of each, block cache %d MiB where the store has one, %s", r.Machine, r.Rounds, r.Seconds, r.Rows,
		r.CacheBytes>>20, bench.Compaction)
	if len(r.GroupSizes) > 0 {
		fmt.Fprintf(&b, "; groups of the sender that does not wait had %v operations", r.GroupSizes)
	}
	b.WriteString(".\n")
	if len(r.Figures) > 0 {
		b.WriteString("\n| figure | promised | median (min to max) | |\n|---|--:|--:|---|\n")
		for _, f := range r.Figures {
			sign, verdict := "≥", "reached"
			if f.Most {
				sign = "≤"
			}
			switch {
			case f.Got.Min < 0: // less than what was taken off it
				verdict = "not to be told"
			case !f.reached():
				verdict = "missed"
			}
			fmt.Fprintf(&b, "| %s | %s %v | %.2f (%.2f to %.2f) | %s |\n", f.What, sign, f.Target, f.Got.Median, f.Got.Min, f.Got.Max, verdict)
		}
	}
	for _, w := range workloads(nil) {
		var rows []bench.Row
		for _, t := range w.turns {
			if row := r.row(w.name, t.name); len(row.Samples) > 0 {
				rows = append(rows, row)
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(&b, "\n### %s\n\nKeys of %d B, values of %d B.\n\n%s", w.name, bench.KeyBytes, w.valueBytes, bench.Markdown(rows, w.turns[0].name))
		}
	}
	if len(r.Profiles)+len(r.BackupProfiles) > 0 {
		b.WriteString("\n### Where the processor time goes\n" + profiles(r.Profiles, parts) + profiles(r.BackupProfiles, backupParts))
	}
	if beside := slices.Concat(r.Beside, r.Cut); len(beside) > 0 {
		b.WriteString("\n### Puts that arrive at half the capacity, before a backup and from its start to its completion\n\n" +
			"Latency counts from the arrival that was drawn. The generator's own lateness is part of it.\n\n" +
			"| rows | value B | puts/s | p99 ms before | generator late, p99 ms | p99 ms beside | generator late, p99 ms | backup s | longest silence ms before | beside | at the cut |\n" +
			"|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
		for _, s := range beside {
			fmt.Fprintf(&b, "| %d | %d | %.0f | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f | %.1f | %.1f |\n", s.Rows, s.ValueBytes, s.Rate, s.Before.P99/1e3, s.Before.Late/1e3,
				s.During.P99/1e3, s.During.Late/1e3, s.BackupSeconds, s.QuietGapMillis, s.GapMillis, s.CutGapMillis)
		}
	}
	if i := r.Idle; i != nil {
		fmt.Fprintf(&b, "\n### %d tables that nobody uses\n\nOpened again in %.2f s; %.0f MB resident; %.2f %% of one processor over %.1f s, and %.2f %% after a write of each.\n",
			i.Tables, i.OpenSeconds, i.ResidentMB, 100*i.Processor, i.WatchSeconds, 100*i.Written)
	}
	if len(r.Big) > 0 {
		fmt.Fprintf(&b, "\n### One table of %d rows of 100 B, exact\n\n| step | s | MiB | MiB/s |\n|---|--:|--:|--:|\n", r.BigRows)
		for _, t := range r.Big {
			mib := float64(t.Bytes) / (1 << 20)
			fmt.Fprintf(&b, "| %s | %.2f | %.0f | %.0f |\n", t.What, t.Seconds, mib, mib/t.Seconds)
		}
	}
	if len(r.Nine) > 0 {
		fmt.Fprintf(&b, "\n### Runs over nine tables of %d MiB and of %.1f MiB each, with %d new rows in each\n\n| page cache | big s | copied MiB | cp s | small s | copied MiB | cp s |\n|---|--:|--:|--:|--:|--:|--:|\n",
			r.NineBytes>>20, float64(r.NineBytes)/100/(1<<20), r.Nine[0].Rows)
		for _, n := range r.Nine {
			fmt.Fprintf(&b, "| %s | %.3f | %.1f | %.3f | %.3f | %.1f | %.3f |\n", n.cache(), n.Seconds[0], float64(n.Copied[0])/(1<<20), n.CopySeconds[0],
				n.Seconds[1], float64(n.Copied[1])/(1<<20), n.CopySeconds[1])
		}
	}
	return b.String()
}
