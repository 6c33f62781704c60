package backup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// candidates parses "NUMBER LINEAGE FLAG...", newest or oldest first as written.
func candidates(t testing.TB, lines ...string) []backup.Candidate {
	var list []backup.Candidate
	for _, line := range lines {
		fields := strings.Fields(line)
		c := backup.Candidate{ID: fields[0], Started: noon}
		_, err := fmt.Sscan(fields[0], &c.Number)
		must(t, err)
		if fields[1] != "?" {
			c.Lineage = fields[1]
		}
		for _, flag := range fields[2:] {
			switch flag {
			case "faulty":
				c.Faulty = true
			case "red":
				c.Red = true
			case "proven":
				c.Proven = true
			case "pinned":
				c.Pinned = true
			case "used":
				c.InUse = true
			case "back":
				c.Started = noon.AddDate(-1, 0, -int(c.Number))
			case "ahead":
				c.Started = noon.AddDate(1, 0, 0)
			default:
				t.Fatalf("unknown flag %s", flag)
			}
		}
		list = append(list, c)
	}
	return list
}

func show(decisions []backup.Decision) []string {
	var lines []string
	for _, d := range decisions {
		verb := "remove"
		if d.Keep {
			verb = "keep"
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", verb, d.ID, strings.Join(d.Reasons, "; ")))
	}
	return lines
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy backup.Policy
		list   []string
		want   []string
	}{
		{"nothing", backup.Policy{Keep: 3}, nil, nil},
		{"fewer than keep", backup.Policy{Keep: 3, Lineages: []string{"A"}}, []string{"1 A", "2 A"}, []string{
			"keep 2: newest of lineage A; one of the newest 3",
			"keep 1: one of the newest 3",
		}},
		{"the newest stay", backup.Policy{Keep: 2, Lineages: []string{"A"}}, []string{"1 A", "2 A", "3 A", "4 A"}, []string{
			"keep 4: newest of lineage A; one of the newest 2",
			"keep 3: one of the newest 2",
			"remove 2: 2 newer complete backups exist",
			"remove 1: 3 newer complete backups exist",
		}},
		{"keep one", backup.Policy{Keep: 1}, []string{"1 A", "2 A"}, []string{
			"keep 2: the newest",
			"remove 1: 1 newer complete backup exists",
		}},
		{"numbers, not names, order", backup.Policy{Keep: 1}, []string{"999999 A", "1000000 A"}, []string{
			"keep 1000000: the newest",
			"remove 999999: 1 newer complete backup exists",
		}},
		{"clock went backwards", backup.Policy{Keep: 1}, []string{"1 A ahead", "2 A", "3 A back"}, []string{
			"keep 3: the newest",
			"remove 2: 1 newer complete backup exists",
			"remove 1: 2 newer complete backups exist",
		}},
		{"each lineage keeps its newest", backup.Policy{Keep: 1, Lineages: []string{"A", "B"}},
			[]string{"1 A", "2 A", "3 B", "4 B", "5 C", "6 C", "7 D"}, []string{
				"keep 7: the newest",
				"remove 6: 1 newer complete backup exists",
				"remove 5: 2 newer complete backups exist",
				"keep 4: newest of lineage B",
				"remove 3: 4 newer complete backups exist",
				"keep 2: newest of lineage A",
				"remove 1: 6 newer complete backups exist",
			}},
		{"the newest proven stays", backup.Policy{Keep: 1, Lineages: []string{"A"}},
			[]string{"1 A proven", "2 A proven", "3 A", "4 A", "5 A proven red"}, []string{
				"keep 5: red, but only 0 newer complete backups exist",
				"keep 4: newest of lineage A; the newest",
				"remove 3: 1 newer complete backup exists",
				"keep 2: newest proven of lineage A",
				"remove 1: 3 newer complete backups exist",
			}},
		{"pinned and used stay", backup.Policy{Keep: 1}, []string{"1 A pinned", "2 A used", "3 A pinned used", "4 A"}, []string{
			"keep 4: the newest",
			"keep 3: being read; pinned",
			"keep 2: being read",
			"keep 1: pinned",
		}},
		{"faulty do not count", backup.Policy{Keep: 2, Lineages: []string{"A"}},
			[]string{"1 A", "2 A", "3 A red", "4 A", "5 ? faulty"}, []string{
				"keep 5: faulty, but only 0 newer complete backups exist",
				"keep 4: newest of lineage A; one of the newest 2",
				"keep 3: red, but only 1 newer complete backup exists",
				"keep 2: one of the newest 2",
				"remove 1: 2 newer complete backups exist",
			}},
		{"faulty go at last", backup.Policy{Keep: 2, Lineages: []string{"A"}},
			[]string{"1 ? faulty", "2 A red", "3 A", "4 A"}, []string{
				"keep 4: newest of lineage A; one of the newest 2",
				"keep 3: one of the newest 2",
				"remove 2: red; 2 newer complete backups exist",
				"remove 1: faulty; 2 newer complete backups exist",
			}},
		{"all faulty", backup.Policy{Keep: 1, Lineages: []string{"A"}}, []string{"1 A red", "2 ? faulty"}, []string{
			"keep 2: faulty, but may be the last of lineage A; faulty, but only 0 newer complete backups exist",
			"keep 1: red, but may be the last of lineage A; red, but only 0 newer complete backups exist",
		}},
		{"faulty may be the last of a lineage", backup.Policy{Keep: 1, Lineages: []string{"A", "B", "B", ""}},
			[]string{"1 ? faulty", "2 B red", "3 C red", "4 A"}, []string{
				"keep 4: newest of lineage A; the newest",
				"remove 3: red; 1 newer complete backup exists",
				"keep 2: red, but may be the last of lineage B",
				"keep 1: faulty, but may be the last of lineage B",
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := candidates(t, c.list...)
			for _, now := range []time.Time{noon, noon.AddDate(1, 0, 0), noon.AddDate(-1, 0, 0), {}} {
				for range 2 {
					got, err := backup.Decide(list, c.policy, now)
					must(t, err)
					if !slices.Equal(show(got), c.want) {
						t.Errorf("decided\n%s\nwant\n%s", strings.Join(show(got), "\n"), strings.Join(c.want, "\n"))
					}
					slices.Reverse(list)
				}
			}
		})
	}
}

// TestDecideRefusesFaults: all faults are told at once, each with a hint, and nothing is decided.
func TestDecideRefusesFaults(t *testing.T) {
	for _, test := range []struct {
		policy backup.Policy
		want   []string
	}{
		{backup.Policy{}, []string{"keep is 0, minimum is 1"}},
		{backup.Policy{Keep: -1}, []string{"keep is -1, minimum is 1"}},
		{backup.Policy{Keep: 1, KeepWithin: backup.MaxKeepWithin + 1}, []string{"keep within is 438000h0m0.000000001s, maximum is 438000h0m0s"}},
		{backup.Policy{Hourly: -1, Daily: -2, Weekly: -3, Monthly: -4, KeepWithin: -5}, []string{
			"keep is 0", "keep hourly is negative", "keep daily is negative", "keep weekly is negative",
			"keep monthly is negative", "keep within is negative"}},
	} {
		got, err := backup.Decide(candidates(t, "1 A", "2 A"), test.policy, noon)
		wantIs(t, err, messages.ErrInvalid)
		if got != nil || len(messages.Hints(err)) != len(test.want) {
			t.Errorf("decided %v, hints %v", got, messages.Hints(err))
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not say %q", err, want)
			}
		}
	}
	for _, p := range []backup.Policy{{Keep: 1}, {Keep: 1, KeepWithin: backup.MaxKeepWithin}} {
		must(t, p.Check())
	}
}

// TestDecideHolds: a policy that holds removes nothing, and says why.
func TestDecideHolds(t *testing.T) {
	got, err := backup.Decide(candidates(t, "1 A", "2 ? faulty", "3 A"), backup.Policy{Keep: 1, Hold: "the table is quarantined"}, noon)
	must(t, err)
	for _, d := range got {
		if !d.Keep || d.Reasons[0] != "the table is quarantined" {
			t.Errorf("decided %+v", d)
		}
	}
}
