package actors_test

import (
	"context"
	"errors"
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
		if runs := before.GetRuns(); len(runs) != 1 || runs[0].GetCarriedForward() != 0 || runs[0].GetBackedUp() != 1 || runs[0].GetFailed() != 1 || runs[0].GetLabel() != "noon" ||
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
		pass(time.Second)
		since := timestamppb.New(time.Now())
		h.backup()
		h.settle()
		narrow, err := h.g.History(h.Context(), &messages.ListHistory{Tables: []string{"b"}, Since: since})
		if err != nil || len(narrow.GetTables()) != 1 || len(pointsOf(narrow, "b")) != 1 ||
			len(narrow.GetRuns()) != 1 || narrow.GetRuns()[0].GetCarriedForward() != 1 || narrow.GetRuns()[0].GetBackedUp() != 1 {
			t.Errorf("of one table since a second ago: %v, %v", narrow, err)
		}
		if _, err := h.g.History(h.Context(), &messages.ListHistory{Since: &timestamppb.Timestamp{Nanos: -1}}); err == nil {
			t.Error("no time was taken as one")
		}
	})
}

// TestHistoryIsSavedSeldom: the file is written whole, so an hour's points share one write, and a crash costs no more than these.
func TestHistoryIsSavedSeldom(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		writes := 0
		h.fs.on(func(o fileOp) bool { return o.kind == "create" && strings.Contains(o.path, "history.json") }, func(fileOp) error {
			writes++
			return nil
		})
		h.put("a", "key", "value")
		pass(24*time.Hour - time.Minute)
		if points := len(pointsOf(h.history(), "a")); points < 140 || writes < 20 || writes > 30 {
			t.Errorf("in a day %d points were written %d times", points, writes)
		}
		h.backup()
		h.settle()
		saved, err := store.ReadFile(h.fs.FS, h.fs.PathJoin(h.config.Dir, "history.json"))
		if err != nil || !strings.Contains(string(saved), h.history().GetRuns()[0].GetRunId()) {
			t.Errorf("the run is not in the file: %v", err)
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

// TestHungHistoryHoldsTheLock: a stop that gives up says what it waited for, and nobody else has the directory while the file may
// still be written.
func TestHungHistoryHoldsTheLock(t *testing.T) {
	for _, kind := range []string{"create", "open"} {
		bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
			h.stop()
			release := h.fs.hang(h.T, func(o fileOp) bool { return o.kind == kind && strings.Contains(o.path, "history.json") })
			h.start()
			for i := range 6 { // the first may be being written, the others wait
				h.put("a", "key", fmt.Sprint(i))
				h.backup()
			}
			h.settle()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			err := h.g.Stop(ctx)
			if err == nil {
				t.Fatalf("%s hangs: stopped", kind)
			}
			wantText(t, err.Error(), "history still waits for its disk")
			if _, err := actors.Start(h.Context(), h.system, h.config); err == nil {
				t.Fatalf("%s hangs: the directory was released", kind)
			}
			release()
			h.settle()
			h.start()
			h.settle()
			if got := h.history(); len(got.GetRuns()) != 6 {
				t.Errorf("%s hung: history %v", kind, got)
			}
		})
	}
}

// TestHistoryOfTheLastRun: what a run before a stop came to is noted, also where the disk did not take it at first.
func TestHistoryOfTheLastRun(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}}, func(h *host) {
		h.backup() // and at once
		h.stop()
		h.start()
		h.settle()
		if got := h.history(); len(got.GetRuns()) != 1 {
			t.Errorf("after a stop %v", got)
		}
		heal := h.fs.on(func(o fileOp) bool { return strings.Contains(o.path, "history.json") }, func(fileOp) error { return errInjected })
		h.put("a", "key", "value")
		h.backup()
		h.settle()
		heal()
		h.stop()
		h.start()
		h.settle()
		if got := h.history(); len(got.GetRuns()) != 2 {
			t.Errorf("after a disk that was full, and a stop, %v", got)
		}
	})
}

// TestHistoryForgetsWhatIsDropped, and nothing else: a table that is closed, or not configured for a while, is there still.
func TestHistoryForgetsWhatIsDropped(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "closed", "dropped", "old"}}, func(h *host) {
		pass(2 * time.Minute)
		if got := h.history(); len(got.GetTables()) != 4 {
			t.Fatalf("history %v", got)
		}
		h.stop()
		h.config.Tables = []string{"a", "closed", "dropped"}
		h.start()
		pass(2 * time.Minute)
		if err := errors.Join(h.g.CloseTable(h.Context(), "closed"), h.g.DropTable(h.Context(), "dropped")); err != nil {
			t.Fatal(err)
		}
		h.config.Tables = []string{"a", "closed"}
		h.stop() // at once
		h.start()
		h.settle()
		var names []string
		for _, table := range h.history().GetTables() {
			names = append(names, table.GetTable())
		}
		if got := strings.Join(names, " "); got != "a closed old" {
			t.Errorf("history of %s", got)
		}
	})
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
