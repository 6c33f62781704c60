package actors

import (
	"cmp"
	"slices"
	"time"

	"github.com/gabiondb/gabion/messages"
)

const (
	// mostRuns is how many runs a history holds.
	mostRuns = 1000
	// mostTables is how many tables have points as dense as spans says; with more of them each has fewer.
	mostTables = 100
)

// spans say how dense points are: of those up to an age the newest of every stretch stays. What is older than all of them goes.
var spans = []struct{ age, stretch time.Duration }{
	{24 * time.Hour, historyEvery},
	{30 * 24 * time.Hour, 6 * time.Hour},
	{2 * 365 * 24 * time.Hour, 7 * 24 * time.Hour},
}

// runOf sums a set up.
func runOf(set *messages.BackupSet) *messages.RunHistory {
	run := &messages.RunHistory{RunId: set.GetRunId(), Label: set.GetLabel(), Started: set.GetStarted(), Finished: set.GetFinished()}
	for _, result := range set.GetResults() {
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

// thinOut leaves what spans says, and no table without points.
func thinOut(history *messages.History, now time.Time) {
	wider := time.Duration(1 + (len(history.GetTables())-1)/mostTables)
	history.Tables = slices.DeleteFunc(history.GetTables(), func(table *messages.TableHistory) bool {
		table.Points = thinned(table.GetPoints(), now, wider)
		return len(table.GetPoints()) == 0
	})
}

// thinned returns the points that stay, of those in the order of time. One that lies ahead of the clock counts as of now.
func thinned(points []*messages.SizePoint, now time.Time, wider time.Duration) []*messages.SizePoint {
	type stretch struct {
		of    time.Duration
		index int64
	}
	at := func(p *messages.SizePoint) (stretch, bool) {
		t := p.GetTime().AsTime()
		for _, s := range spans {
			if now.Sub(t) <= s.age {
				of := s.stretch * wider
				return stretch{of, t.UnixNano() / int64(of)}, true
			}
		}
		return stretch{}, false
	}
	var left []*messages.SizePoint
	for i, p := range points {
		mine, young := at(p)
		if !young {
			continue
		}
		if i+1 < len(points) {
			if next, _ := at(points[i+1]); next == mine {
				continue
			}
		}
		left = append(left, p)
	}
	return left
}
