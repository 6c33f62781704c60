package actors_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// history asks for all of it.
func (h *host) history() *messages.History {
	h.Helper()
	history, err := h.g.History(h.Context(), &messages.ListHistory{})
	if err != nil {
		h.Fatal(err)
	}
	return history
}

// pointsOf are a table's.
func pointsOf(history *messages.History, table string) []*messages.SizePoint {
	for _, t := range history.GetTables() {
		if t.GetTable() == table {
			return t.GetPoints()
		}
	}
	return nil
}

// TestHistory: tables are measured a minute after the start, every ten minutes, and with each run; runs are summed up; a restart
// loses none of it.
func TestHistory(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}}, func(h *host) {
		h.put("a", "key", "value")
		h.settle()
		if got := h.history(); len(got.GetTables()) != 0 || len(got.GetRuns()) != 0 {
			t.Errorf("at first: %v", got)
		}
		pass(time.Minute + time.Second)
		if p := pointsOf(h.history(), "a"); len(p) != 1 || p[0].GetCount() != 1 || p[0].GetLiveBytes() != 8 || p[0].GetDiskBytes() == 0 {
			t.Errorf("after a minute: %v", p)
		}
		if err := h.g.CloseTable(h.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		h.put("a", "other", "value")
		pass(10 * time.Minute)
		if a, b := pointsOf(h.history(), "a"), pointsOf(h.history(), "b"); len(a) != 2 || a[1].GetCount() != 2 || len(b) != 1 {
			t.Errorf("after ten minutes: %v, and of the closed table %v", a, b)
		}
		if _, err := h.g.Backup(h.Context(), &messages.BackupAll{Label: "noon"}); err != nil {
			t.Fatal(err)
		}
		h.settle()
		before := h.history()
		if runs := before.GetRuns(); len(runs) != 1 || runs[0].GetBackedUp() != 1 || runs[0].GetFailed() != 1 || runs[0].GetLabel() != "noon" ||
			runs[0].GetBytes() == 0 || runs[0].GetBytes() != runs[0].GetCopiedBytes() || runs[0].GetFinished() == nil {
			t.Errorf("runs %v", runs)
		}
		h.stop()
		h.start()
		h.settle()
		after := h.history()
		if got, want := after.String(), before.String(); got != want {
			t.Errorf("after a restart %s, want %s", got, want)
		}
		narrow, err := h.g.History(h.Context(), &messages.ListHistory{Tables: []string{"b"}, Since: timestamppb.New(time.Now())})
		if err != nil || len(narrow.GetTables()) != 0 || len(narrow.GetRuns()) > 1 {
			t.Errorf("of one table since now: %v, %v", narrow, err)
		}
		if _, err := h.g.History(h.Context(), &messages.ListHistory{Since: &timestamppb.Timestamp{Nanos: -1}}); err == nil {
			t.Error("no time was taken as one")
		}
	})
}

// TestHistoryBesideFaults: a disk that does not take the history costs nothing else, and what was noted is written with the next
// point (which stands for both, as they are young).
func TestHistoryBesideFaults(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		heal := h.fs.on(func(o fileOp) bool { return strings.Contains(o.path, "history.json") }, func(fileOp) error { return errInjected })
		h.wantRow(h.backup()["a"], backedUp)
		h.settle()
		if got := h.history(); len(got.GetRuns()) != 1 {
			t.Errorf("history %v", got)
		}
		heal()
		pass(time.Minute + time.Second)
		h.stop()
		h.start()
		h.settle()
		if got := h.history(); len(got.GetRuns()) != 1 || len(pointsOf(got, "a")) != 1 {
			t.Errorf("after a restart %v", got)
		}
	})
}

// TestHungHistory: a disk that hangs on the history holds up no run and no table, only the end of a stop, which names it.
func TestHungHistory(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		release := h.fs.hang(h.T, func(o fileOp) bool { return o.kind == "create" && strings.Contains(o.path, "history.json") })
		for range 20 { // more than may wait to be noted
			h.put("a", "key", "value")
			h.wantRow(h.backup()["a"], backedUp)
		}
		if got := h.history(); len(got.GetRuns()) != 1 {
			t.Errorf("history %v", got)
		}
		release()
		h.settle()
		if got := h.history(); len(got.GetRuns()) < 10 {
			t.Errorf("afterwards %d runs", len(got.GetRuns()))
		}
	})
}

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
	if n := count(731*day, 10000*day); n != 0 {
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

// TestHistoryThatIsNotGiven: a disk that does not give the file at a start costs none of it; what is damaged begins anew.
func TestHistoryThatIsNotGiven(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		h.backup()
		h.settle()
		h.stop()
		heal := h.fs.on(func(o fileOp) bool { return o.kind == "open" && strings.HasSuffix(o.path, "/history.json") }, func(fileOp) error { return syscall.EMFILE })
		h.start()
		h.put("a", "key", "value")
		h.backup()
		h.settle()
		if got := h.history(); len(got.GetRuns()) != 1 {
			t.Errorf("without the file %v", got)
		}
		heal()
		pass(time.Minute + time.Second)
		if got := h.history(); len(got.GetRuns()) != 2 {
			t.Errorf("with it %v", got)
		}
		h.stop()
		h.start()
		h.settle()
		if got := h.history(); len(got.GetRuns()) != 2 {
			t.Errorf("after a restart %v", got)
		}
		h.stop()
		if err := store.WriteDurably(h.fs.FS, dir+"/history.json", []byte("{")); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.put("a", "other", "value")
		h.backup()
		h.stop()
		h.start()
		h.settle()
		if got := h.history(); len(got.GetRuns()) != 1 {
			t.Errorf("after damage %v", got)
		}
	})
}

// TestNewerHistory is left alone.
func TestNewerHistory(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		h.stop()
		const newer = `{"formatVersion":2}`
		if err := store.WriteDurably(h.fs.FS, dir+"/history.json", []byte(newer)); err != nil {
			t.Fatal(err)
		}
		h.start()
		h.backup()
		pass(time.Hour)
		h.stop()
		if got, err := store.ReadFile(h.fs.FS, dir+"/history.json"); err != nil || string(got) != newer {
			t.Errorf("history.json is %s, %v", got, err)
		}
		h.start()
	})
}

// TestHistoryOfVisits: the run of a visit is noted; who only reads is told what the directory has, and notes nothing.
func TestHistoryOfVisits(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		h.stop()
		h.config.Visit = true
		h.start()
		h.backup()
		h.settle()
		h.stop()
		h.config.Visit = false
		h.config.ReadOnly = true
		h.start()
		pass(time.Hour)
		if got := h.history(); len(got.GetRuns()) != 1 || len(pointsOf(got, "a")) != 1 {
			t.Errorf("history %v", got)
		}
	})
}
