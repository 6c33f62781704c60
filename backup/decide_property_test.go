package backup_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gabiondb/gabion/backup"
)

var drawnLineages = []string{"A", "B", "C"}

// drawList draws backups whose clock mostly runs on, and now and then goes back, or a century ahead for a while.
func drawList(t *rapid.T) []backup.Candidate {
	numbers := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 1e7), 0, 14, rapid.ID).Draw(t, "numbers")
	slices.Sort(numbers)
	clock := noon
	var list []backup.Candidate
	for i, n := range numbers {
		clock = clock.Add(time.Duration(rapid.SampledFrom([]int{1, 20, 60, 24 * 60, 31 * 24 * 60}).Draw(t, "minutes")) * time.Minute)
		switch rapid.IntRange(0, 12).Draw(t, "step") {
		case 0:
			clock = clock.AddDate(-1, 0, 0)
		case 1:
			clock = clock.AddDate(100, 0, 0)
		case 2:
			clock = noon
		}
		list = append(list, backup.Candidate{
			ID: fmt.Sprintf("%06d", n), Number: n, Lineage: rapid.SampledFrom(append(drawnLineages, "")).Draw(t, "lineage"),
			Started: clock,
			Faulty:  rapid.IntRange(0, 6).Draw(t, "faulty") == 0, Red: rapid.IntRange(0, 6).Draw(t, "red") == 0,
			Proven: rapid.Bool().Draw(t, "proven"), Pinned: i == 3, InUse: i == 5, Unread: i == 7,
		})
	}
	return list
}

func drawPolicy(t *rapid.T) backup.Policy {
	rule := rapid.SampledFrom([]int{0, 0, 1, 2, 3, 50})
	return backup.Policy{
		Keep:   rapid.IntRange(1, 5).Draw(t, "keep"),
		Hourly: rule.Draw(t, "hourly"), Daily: rule.Draw(t, "daily"), Weekly: rule.Draw(t, "weekly"), Monthly: rule.Draw(t, "monthly"),
		KeepWithin: rapid.SampledFrom([]time.Duration{0, 0, 1, time.Hour, 25 * time.Hour, 1000 * time.Hour, backup.MaxKeepWithin}).Draw(t, "within"),
		Lineages:   rapid.SliceOfDistinct(rapid.SampledFrom(drawnLineages), rapid.ID).Draw(t, "lineages"),
	}
}

// drawNow draws a clock that is right, wrong, or far off.
func drawNow(t *rapid.T) time.Time {
	return rapid.SampledFrom([]time.Time{
		noon, noon.AddDate(1, 0, 0), noon.AddDate(0, 0, 3), noon.AddDate(-3, 0, 0), noon.AddDate(200, 0, 0), {},
	}).Draw(t, "now")
}

func decide(t *rapid.T, list []backup.Candidate, policy backup.Policy, now time.Time) map[string]backup.Decision {
	got, err := backup.Decide(list, policy, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(list) {
		t.Fatalf("decided %d of %d", len(got), len(list))
	}
	decided := map[string]backup.Decision{}
	for _, d := range got {
		if len(d.Reasons) == 0 || slices.Contains(d.Reasons, "") {
			t.Fatalf("no reason for %+v", d)
		}
		decided[d.ID] = d
	}
	return decided
}

func good(c backup.Candidate) bool { return !c.Faulty && !c.Red }

// newerThan counts the backups of list that are newer than c and match.
func newerThan(list []backup.Candidate, c backup.Candidate, match func(backup.Candidate) bool) (newer int) {
	for _, other := range list {
		if other.Number > c.Number && match(other) {
			newer++
		}
	}
	return newer
}

// neverRemoved tells whether c must stay whatever the rules by calendar say, and why in another way than Decide.
func neverRemoved(list []backup.Candidate, c backup.Candidate, policy backup.Policy) bool {
	covered := func(lineage string) bool {
		return slices.ContainsFunc(list, func(c backup.Candidate) bool { return good(c) && c.Lineage == lineage })
	}
	same := func(o backup.Candidate) bool { return good(o) && o.Lineage == c.Lineage }
	proven := func(o backup.Candidate) bool { return same(o) && o.Proven }
	switch {
	case c.Pinned, c.InUse, c.Unread, newerThan(list, c, good) < policy.Keep:
		return true
	case good(c) && slices.Contains(policy.Lineages, c.Lineage):
		return newerThan(list, c, same) == 0 || c.Proven && newerThan(list, c, proven) == 0
	case !good(c):
		return slices.ContainsFunc(policy.Lineages, func(l string) bool {
			return (c.Lineage == "" || c.Lineage == l) && !covered(l)
		})
	}
	return false
}

// TestDecideNeverRemoves holds the never-remove rules, written another way, against any list, policy and clock. Without
// a rule by the calendar they are all there is, and no clock matters.
func TestDecideNeverRemoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, policy := drawList(t), drawPolicy(t)
		plain := backup.Policy{Keep: policy.Keep, Lineages: policy.Lineages}
		byRules, byKeep := decide(t, list, policy, drawNow(t)), decide(t, list, plain, drawNow(t))
		for _, c := range list {
			must := neverRemoved(list, c, policy)
			if must && !byRules[c.ID].Keep {
				t.Fatalf("%+v is removed: %v", c, byRules[c.ID].Reasons)
			}
			if byKeep[c.ID].Keep != must {
				t.Fatalf("without rules keep of %+v is %v, want %v", c, byKeep[c.ID].Keep, must)
			}
			if !good(c) && byRules[c.ID].Keep != must {
				t.Fatalf("faulty %+v counts: %v", c, byRules[c.ID])
			}
		}
	})
}

// TestDecideIsPure: neither the order of the list nor a second call changes a decision, and the list stays as it is.
func TestDecideIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, policy, now := drawList(t), drawPolicy(t), drawNow(t)
		mixed := rapid.Permutation(list).Draw(t, "mixed")
		before := slices.Clone(mixed)
		first, err := backup.Decide(list, policy, now)
		if err != nil {
			t.Fatal(err)
		}
		second, err := backup.Decide(mixed, policy, now)
		if err != nil || !slices.Equal(show(first), show(second)) {
			t.Fatalf("decided %v, then %v, %v", show(first), show(second), err)
		}
		if !slices.Equal(mixed, before) {
			t.Fatal("the list was changed")
		}
	})
}

// left are the backups that a decision leaves.
func left(list []backup.Candidate, decided map[string]backup.Decision) []backup.Candidate {
	return slices.DeleteFunc(slices.Clone(list), func(c backup.Candidate) bool { return !decided[c.ID].Keep })
}

// TestDecideTwiceIsOnce: what one pass leaves, a second one leaves too.
func TestDecideTwiceIsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, policy, now := drawList(t), drawPolicy(t), drawNow(t)
		kept := left(list, decide(t, list, policy, now))
		for id, d := range decide(t, kept, policy, now) {
			if !d.Keep {
				t.Fatalf("the second pass removes %s: %v", id, d.Reasons)
			}
		}
	})
}

// TestMoreRulesKeepMore: a rule more, or a larger one, never removes what stayed without it.
func TestMoreRulesKeepMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, policy, now := drawList(t), drawPolicy(t), drawNow(t)
		more := policy
		by := rapid.IntRange(1, 3).Draw(t, "by")
		switch rapid.IntRange(0, 6).Draw(t, "rule") {
		case 0:
			more.Keep += by
		case 1:
			more.Hourly += by
		case 2:
			more.Daily += by
		case 3:
			more.Weekly += by
		case 4:
			more.Monthly += by
		case 5:
			more.KeepWithin = min(backup.MaxKeepWithin, more.KeepWithin+time.Duration(rapid.Int64Range(1, 1e16).Draw(t, "longer")))
		case 6:
			more.Lineages = drawnLineages
		}
		before, after := decide(t, list, policy, now), decide(t, list, more, now)
		for id, d := range before {
			if d.Keep && !after[id].Keep {
				t.Fatalf("%s stays by %+v: %v, and goes by %+v: %v", id, policy, d.Reasons, more, after[id].Reasons)
			}
		}
	})
}

// TestAheadTakesNoPlace: a backup dated after now never makes one go that would stay without it, but for Keep.
func TestAheadTakesNoPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list, policy := drawList(t), drawPolicy(t)
		now := noon.AddDate(0, 0, rapid.IntRange(0, 60).Draw(t, "days"))
		sound := slices.DeleteFunc(slices.Clone(list), func(c backup.Candidate) bool { return c.Started.After(now) })
		with, without := decide(t, list, policy, now), decide(t, sound, policy, now)
		for _, c := range sound {
			if !good(c) || newerThan(sound, c, good) < policy.Keep {
				continue
			}
			rules := func(d backup.Decision) bool {
				return slices.ContainsFunc(d.Reasons, func(r string) bool { return rulePattern.MatchString(r) })
			}
			if rules(with[c.ID]) != rules(without[c.ID]) {
				t.Fatalf("%s: %v, without those ahead %v", c.ID, with[c.ID], without[c.ID])
			}
		}
	})
}

// TestClockJumpExpiresNothing: when the clock jumps a century ahead, or back, the rules by calendar leave at least the
// newest of as many days as before, and KeepWithin half of its time, whatever now is.
func TestClockJumpExpiresNothing(t *testing.T) {
	for _, years := range []int{100, -100} {
		var list []backup.Candidate
		for day := range 30 {
			list = append(list, backup.Candidate{ID: fmt.Sprintf("%06d", day), Number: uint64(day), Started: noon.AddDate(0, 0, day)})
		}
		after := noon.AddDate(years, 0, 30)
		list = append(list, backup.Candidate{ID: "000030", Number: 30, Started: after})
		for _, test := range []struct {
			policy backup.Policy
			least  int
		}{
			{backup.Policy{Keep: 1, Daily: 10}, 10},
			{backup.Policy{Keep: 1, KeepWithin: 20 * 24 * time.Hour}, 11},
		} {
			for _, now := range []time.Time{after, after.AddDate(0, 0, 1), noon.AddDate(0, 0, 30)} {
				got, err := backup.Decide(list, test.policy, now)
				must(t, err)
				stays := 0
				for _, d := range got {
					if d.Keep {
						stays++
					}
				}
				if stays < test.least || stays == len(list) {
					t.Errorf("%d years, now %v, %+v: %d stay of %d:\n%v", years, now, test.policy, stays, len(list), show(got))
				}
			}
		}
	}
}
