package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/backup"
)

// rulePattern matches the reason of a rule by calendar that keeps, or of KeepWithin.
var rulePattern = regexp.MustCompile(`^(within |(hourly|daily|weekly|monthly): newest of )`)

// TestDecideGolden decides on the tables in testdata/retention, and holds what comes out against the part of each
// file after "decided". Run with -rewrite to write it anew.
func TestDecideGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/retention/*.golden")
	must(t, err)
	if len(paths) < 5 {
		t.Fatalf("found %v", paths)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".golden"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			must(t, err)
			given, _, _ := strings.Cut(string(data), "decided\n")
			var b strings.Builder
			b.WriteString(given + "decided\n")
			for _, d := range decideGiven(t, given) {
				b.WriteString(d + "\n")
			}
			if *rewrite {
				must(t, os.WriteFile(path, []byte(b.String()), 0o644))
			}
			if b.String() != string(data) && !*rewrite {
				t.Errorf("got\n%s\nwant\n%s", b.String(), data)
			}
		})
	}
}

// decideGiven reads a table: "keep N", "daily N" and so on, "within DURATION", "lineages A B", "now TIME", and a line
// "backup NUMBER LINEAGE TIME FLAG..." for each backup; # begins a comment.
func decideGiven(t *testing.T, given string) []string {
	t.Helper()
	var policy backup.Policy
	var list []backup.Candidate
	now := noon
	for line := range strings.Lines(given) {
		line, _, _ = strings.Cut(line, "#")
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		counts := map[string]*int{"keep": &policy.Keep, "hourly": &policy.Hourly, "daily": &policy.Daily,
			"weekly": &policy.Weekly, "monthly": &policy.Monthly}
		var err error
		switch {
		case key == "":
		case counts[key] != nil:
			_, err = fmt.Sscan(rest, counts[key])
		case key == "within":
			policy.KeepWithin, err = time.ParseDuration(rest)
		case key == "lineages":
			policy.Lineages = strings.Fields(rest)
		case key == "now":
			now, err = time.Parse(time.RFC3339, rest)
		case key == "backup":
			fields := strings.Fields(rest)
			c := candidates(t, strings.Join(append(fields[:2:2], fields[3:]...), " "))[0]
			c.Started, err = time.Parse(time.RFC3339, fields[2])
			list = append(list, c)
		default:
			t.Fatalf("unknown line %q", line)
		}
		must(t, err)
	}
	decided, err := backup.Decide(list, policy, now)
	must(t, err)
	return show(decided)
}
