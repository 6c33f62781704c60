package actors_test

import (
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
)

// TestClockThatJumpsAheadWhileRunning ends the life of no undo, thins no points, and is followed by nothing else when it goes back.
func TestClockThatJumpsAheadWhileRunning(t *testing.T) {
	c := &setClock{}
	defer actors.SetClock(func() time.Time { return time.Now().Add(time.Duration(c.step.Load())) })()
	bubble(t, actors.Config{Tables: []string{"gone", "tasks"}, Interval: day, DisableDrill: true}, func(h *host) {
		h.put("tasks", "key", "value")
		h.put("gone", "key", "value")
		h.backup()
		if err := h.g.DropTable(h.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		pass(day)
		points := len(pointsOf(h.history(), "tasks"))
		if points < 140 {
			t.Fatalf("%d points of a day", points)
		}
		c.step.Store(int64(365 * day))
		pass(2 * time.Hour) // a run comes, and sweeps
		h.settle()
		if undo := h.report().GetUndo(); len(undo) != 1 {
			t.Errorf("with a clock that is ahead: undo %v", undo)
		}
		if n := len(pointsOf(h.history(), "tasks")); n < points {
			t.Errorf("of %d points of the last day %d are left", points, n)
		}
		c.step.Store(0)
		pass(4 * day)
		h.settle()
		if undo := h.report().GetUndo(); len(undo) != 1 {
			t.Errorf("five days after the drop: undo %v", undo)
		}
		pass(3 * day)
		h.settle()
		if undo := h.report().GetUndo(); len(undo) != 0 {
			t.Errorf("eight days after the drop: undo %v", undo)
		}
	})
}
