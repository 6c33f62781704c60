package actors_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestHistoryThins: two years of it stay small, dense where they are young.
func TestHistoryThins(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var points []*messages.SizePoint
	for at := now.Add(-3 * 365 * 24 * time.Hour); !at.After(now); at = at.Add(10 * time.Minute) {
		points = append(points, &messages.SizePoint{Time: timestamppb.New(at)})
	}
	left := actors.Thinned(points, now, 1)
	count := func(from, to time.Duration) (n int) {
		for _, p := range left {
			if age := now.Sub(p.GetTime().AsTime()); age >= from && age < to {
				n++
			}
		}
		return n
	}
	const day = 24 * time.Hour
	if n := count(0, day); n < 140 || n > 150 {
		t.Errorf("%d points of the last day", n)
	}
	if n := count(day, 30*day); n < 110 || n > 125 {
		t.Errorf("%d points of the last month", n)
	}
	if n := count(30*day, 730*day); n < 95 || n > 105 {
		t.Errorf("%d points of two years", n)
	}
	if n := count(730*day, 10000*day); n < 45 || n > 60 {
		t.Errorf("%d older points", n)
	}
	if again := actors.Thinned(left, now, 1); len(again) != len(left) {
		t.Errorf("thinned twice %d of %d stay", len(again), len(left))
	}
	if wide := actors.Thinned(points, now, 10); len(wide) > len(left)/8 {
		t.Errorf("of %d points %d stay where they are to be few", len(left), len(wide))
	}
	if last := left[len(left)-1]; !last.GetTime().AsTime().Equal(now) {
		t.Errorf("the newest is %v", last)
	}
}

// TestHistoryStaysSmall: of many runs the newest stay, and of many tables fewer points each.
func TestHistoryStaysSmall(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	points := func(tables int) (n int) {
		history := &messages.History{}
		for i := range tables {
			table := &messages.TableHistory{Table: fmt.Sprintf("t%03d", i)}
			for at := now.Add(-24 * time.Hour); at.Before(now); at = at.Add(10 * time.Minute) {
				table.Points = append(table.Points, &messages.SizePoint{Time: timestamppb.New(at)})
			}
			history.Tables = append(history.Tables, table)
		}
		actors.ThinOut(history, now)
		return len(history.GetTables()[0].GetPoints())
	}
	if few, many := points(100), points(1000); few < 140 || many > few/9 {
		t.Errorf("%d points of each of 100 tables, %d of 1,000", few, many)
	}
	var runs []*messages.RunHistory
	for i := range 1500 {
		runs = append(runs, &messages.RunHistory{RunId: fmt.Sprintf("%04d", (i*7)%1500)}) // in any order
	}
	history := &messages.History{}
	actors.ThinOut(history, now, append(runs, runs[0])...)
	if got := history.GetRuns(); len(got) != 1000 || got[0].GetRunId() != "0500" || got[999].GetRunId() != "1499" {
		t.Errorf("%d runs, from %v", len(got), got[0])
	}
}

// pointsAt are points of these times.
func pointsAt(times ...time.Time) (points []*messages.SizePoint) {
	for _, at := range times {
		points = append(points, &messages.SizePoint{Time: timestamppb.New(at)})
	}
	return points
}

// TestHistoryByWrongClocks: a clock that is years off for a while neither takes the history along nor makes it grow.
func TestHistoryByWrongClocks(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var year []*messages.SizePoint
	for at := now.Add(-365 * 24 * time.Hour); !at.After(now); at = at.Add(10 * time.Minute) {
		year = append(year, pointsAt(at)...)
	}
	for _, off := range []time.Duration{100 * 365 * 24 * time.Hour, -50 * 365 * 24 * time.Hour} {
		left := actors.Thinned(slices.Clone(year), now.Add(off), 1)
		if n := len(left); n < 50 || n > 500 {
			t.Errorf("off by %v: %d points", off, n)
		}
	}
	points, clocks := year, [2]time.Time{now, now.Add(300 * 24 * time.Hour)}
	for i := range 3000 {
		clocks[i%2] = clocks[i%2].Add(10 * time.Minute)
		points = actors.Thinned(append(points, pointsAt(clocks[i%2])...), clocks[i%2], 1)
	}
	if len(points) > 500 {
		t.Errorf("by two clocks in turn: %d points", len(points))
	}
	for i, p := range points { // as large as they are written
		p.Time.Nanos, p.Count, p.LiveBytes, p.DiskBytes = int32(i)*123_457+1, 5_000_000, 500_000_000, 600_000_000
	}
	data, err := protojson.Marshal(&messages.TableHistory{Table: "a", Points: points})
	// protojson puts a space here and there, as it likes.
	if size := len(data) * 500 / len(points); err != nil || size > 58_000 || size < 52_000 {
		t.Errorf("500 points take %d B, docs/format.md says 55 KB: %v", size, err)
	}
	if !slices.IsSortedFunc(points, func(a, b *messages.SizePoint) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) }) {
		t.Error("points are not in the order of time")
	}
}

// TestHistoryForgetsInTheEnd what nobody opens any more, which takes nothing of what the others may have before.
func TestHistoryForgetsInTheEnd(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	history := &messages.History{Tables: []*messages.TableHistory{{Table: "live"}, {Table: "without points"}}}
	for at := now.Add(-24 * time.Hour); at.Before(now); at = at.Add(10 * time.Minute) {
		history.Tables[0].Points = append(history.Tables[0].GetPoints(), pointsAt(at)...)
	}
	for i := range 1000 {
		history.Tables = append(history.Tables, &messages.TableHistory{Table: fmt.Sprint("gone", i), Points: pointsAt(now.AddDate(0, 0, -i))})
	}
	actors.ThinOutBut(history, now, "live")
	if n := len(history.GetTables()); n != 1+731 {
		t.Errorf("%d tables", n)
	}
	if n := len(history.GetTables()[0].GetPoints()); n < 140 {
		t.Errorf("%d points of the table that is used", n)
	}
	ages := &messages.History{Tables: []*messages.TableHistory{{Table: "live", Points: pointsAt(now.AddDate(-5, 0, 0))}}}
	if actors.ThinOutBut(ages, now, "live"); len(ages.GetTables()) != 1 {
		t.Error("a table that is there is forgotten")
	}
}
