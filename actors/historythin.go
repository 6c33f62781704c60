package actors

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/gabiondb/gabion/messages"
)

const (
	// mostRuns is how many runs a history holds.
	mostRuns = 1000
	// mostTables is how many tables have points as dense as spans says; with more of them each has fewer.
	mostTables = 100
	// mostPoints is how many points a table has at most: more than spans leave in four years of a clock that nobody sets.
	mostPoints = 500
	// forgottenAfter is how long a table that nobody opens any more keeps its points.
	forgottenAfter = 2 * 365 * 24 * time.Hour
)

// spans say how dense points are: of those up to an age the newest of every stretch stays. None goes for its age alone: a clock
// that was wrong for a while would take all of them along.
var spans = []struct{ age, stretch time.Duration }{
	{24 * time.Hour, historyEvery},
	{30 * 24 * time.Hour, 6 * time.Hour},
	{math.MaxInt64, 7 * 24 * time.Hour},
}

// runOf sums a run up.
func runOf(ended *messages.BackupComplete) *messages.RunHistory {
	run := &messages.RunHistory{RunId: ended.GetRunId(), Label: ended.GetLabel(), Started: ended.GetStarted(), Finished: ended.GetFinished()}
	for _, result := range slices.Concat(ended.GetBackedUp(), ended.GetFailed()) {
		run.Bytes += result.GetBytes()
		run.CopiedBytes += result.GetCopiedBytes()
		switch result.GetOutcome() {
		case messages.Outcome_OUTCOME_BACKED_UP:
			run.BackedUp++
		case messages.Outcome_OUTCOME_CARRIED_FORWARD:
			run.CarriedForward++
		default:
			run.Failed++
		}
	}
	return run
}

// addRun puts a run in its place, which its id says; one that is there already stays.
func addRun(history *messages.History, run *messages.RunHistory) {
	i, found := slices.BinarySearchFunc(history.GetRuns(), run, func(a, b *messages.RunHistory) int {
		return cmp.Compare(a.GetRunId(), b.GetRunId())
	})
	if found {
		return
	}
	history.Runs = slices.Insert(history.GetRuns(), i, run)
	if n := len(history.GetRuns()); n > mostRuns {
		history.Runs = slices.Delete(history.GetRuns(), 0, n-mostRuns)
	}
}

// addPoint appends the points of one table.
func addPoint(history *messages.History, table *messages.TableHistory) {
	i, found := slices.BinarySearchFunc(history.GetTables(), table, func(a, b *messages.TableHistory) int {
		return cmp.Compare(a.GetTable(), b.GetTable())
	})
	if !found {
		history.Tables = slices.Insert(history.GetTables(), i, table)
		return
	}
	of := history.GetTables()[i]
	of.Points = append(of.GetPoints(), table.GetPoints()...)
}

// thinOut leaves what spans says, mostPoints at most, and of tables that are not among the members only those that are not forgotten.
func thinOut(history *messages.History, now time.Time, members map[string]bool) {
	wider := 1 + max(0, len(members)-1)/mostTables
	history.Tables = slices.DeleteFunc(history.GetTables(), func(table *messages.TableHistory) bool {
		table.Points = thinned(table.GetPoints(), now, wider)
		if len(table.GetPoints()) == 0 {
			return true
		}
		newest := table.GetPoints()[len(table.GetPoints())-1].GetTime().AsTime()
		return !members[table.GetTable()] && now.Sub(newest) > forgottenAfter
	})
}

// newestPoint is when the newest point was measured that is not ahead of now; now where there is none.
func newestPoint(history *messages.History, now time.Time) time.Time {
	var newest time.Time
	for _, table := range history.GetTables() {
		for _, p := range table.GetPoints() {
			if at := p.GetTime().AsTime(); at.After(newest) && !messages.Ahead(at, now) {
				newest = at
			}
		}
	}
	if newest.IsZero() {
		return now
	}
	return newest
}

// thinned returns the points that stay, by time. One that lies ahead of the clock counts as of now.
func thinned(points []*messages.SizePoint, now time.Time, wider int) []*messages.SizePoint {
	slices.SortStableFunc(points, func(a, b *messages.SizePoint) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
	type stretch struct {
		of    time.Duration
		index int64
	}
	at := func(p *messages.SizePoint) stretch {
		t := p.GetTime().AsTime()
		for _, s := range spans {
			if now.Sub(t) <= s.age {
				of := s.stretch * time.Duration(wider)
				return stretch{of, t.UnixNano() / int64(of)}
			}
		}
		return stretch{}
	}
	var left []*messages.SizePoint
	for i, p := range points {
		if i+1 == len(points) || at(points[i+1]) != at(p) {
			left = append(left, p)
		}
	}
	return left[max(0, len(left)-max(1, mostPoints/wider)):]
}
