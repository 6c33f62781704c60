package backup

import (
	"fmt"
	"time"
)

// calendarRule keeps the newest backup of each of the newest count periods that have one.
type calendarRule struct {
	name, periods string
	count         int
	// period names the period of an instant, in UTC: local days have no fixed length, and move with the host.
	period func(t time.Time) string
}

func (p Policy) calendar() []calendarRule {
	layout := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.UTC().Format(layout) }
	}
	return []calendarRule{
		{"hourly", "hours", p.Hourly, layout("2006-01-02 15:00")},
		{"daily", "days", p.Daily, layout("2006-01-02")},
		{"weekly", "weeks", p.Weekly, func(t time.Time) string {
			year, week := t.UTC().ISOWeek()
			return fmt.Sprintf("%04d-W%02d", year, week)
		}},
		{"monthly", "months", p.Monthly, layout("2006-01")},
	}
}

// judgement is what the rules by calendar and KeepWithin say of one backup.
type judgement struct {
	keeps  []string // each is a rule that keeps it
	leaves []string // each is why a rule does not
}

// judge applies the rules by calendar and KeepWithin to a list that is ordered newest first: once to what began by now,
// and once to what began after. Its judgements are in the order of the list.
func (p Policy) judge(list []Candidate, now time.Time) []judgement {
	judged := make([]judgement, len(list))
	for _, ahead := range []bool{false, true} {
		var group []int
		for i, c := range list {
			if c.usable() && c.Started.After(now) == ahead {
				group = append(group, i)
			}
		}
		note := ""
		if ahead {
			note = ", ahead of the clock"
		}
		for _, rule := range p.calendar() {
			rule.judge(list, group, judged, note)
		}
		p.judgeWithin(list, group, judged, note)
	}
	return judged
}

func (r calendarRule) judge(list []Candidate, group []int, judged []judgement, note string) {
	if r.count == 0 {
		return
	}
	newest := map[string]string{} // backup id by period
	for _, i := range group {
		period := r.period(list[i].Started)
		switch id, seen := newest[period]; {
		case seen:
			judged[i].leaves = append(judged[i].leaves, fmt.Sprintf("%s: %s is the newest of %s%s", r.name, id, period, note))
		case len(newest) >= r.count:
			judged[i].leaves = append(judged[i].leaves, fmt.Sprintf("%s: %d newer %s have a backup%s", r.name, r.count, r.periods, note))
		default:
			newest[period] = list[i].ID
			judged[i].keeps = append(judged[i].keeps, fmt.Sprintf("%s: newest of %s%s", r.name, period, note))
		}
	}
}

// judgeWithin adds up the time from backup to backup, each gap cut at half of KeepWithin. All is counted twice, so that
// the half is exact; MaxKeepWithin keeps the sum in range.
func (p Policy) judgeWithin(list []Candidate, group []int, judged []judgement, note string) {
	if p.KeepWithin == 0 {
		return
	}
	var twice time.Duration
	for n, i := range group {
		if n > 0 && twice <= 2*p.KeepWithin {
			// A gap back in time is none.
			gap := max(0, list[group[n-1]].Started.Sub(list[i].Started))
			twice += min(2*min(gap, p.KeepWithin), p.KeepWithin)
		}
		if twice <= 2*p.KeepWithin {
			judged[i].keeps = append(judged[i].keeps, fmt.Sprintf("within %v of the newest%s", p.KeepWithin, note))
		} else {
			judged[i].leaves = append(judged[i].leaves, fmt.Sprintf("older than the newest by more than %v%s", p.KeepWithin, note))
		}
	}
}
