package store

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// TestUndoOfTheFuture: a clock that was ahead when a table was dropped is noticed. From then on the undo is kept for its
// life: it goes neither at once nor a year late.
func TestUndoOfTheFuture(t *testing.T) {
	ahead := time.Now()
	back := ahead.Add(-365 * 24 * time.Hour) // the time that it is
	d, lineage := dropped(t, vfs.NewMem(), ahead.Add(time.Hour))
	defer closeAll(t, d)
	sweep := func(now time.Time, want int) {
		t.Helper()
		if removed, err := d.SweepUndo("t", now); removed != want || err != nil {
			t.Errorf("at %v %d are removed, %v; want %d", now, removed, err, want)
		}
	}
	sweep(back, 0)
	kept, err := d.Undo("t")
	if err != nil || len(kept) != 1 || kept[0].GetSince() != nil || kept[0].GetLineage() != lineage {
		t.Fatalf("undo = %v, %v", kept, err)
	}
	if life := kept[0].GetUntil().AsTime().Sub(back); life < 59*time.Minute || life > 61*time.Minute {
		t.Errorf("its life ends in %v", life)
	}
	runs(d, 50*time.Minute)
	sweep(back.Add(50*time.Minute), 0)
	runs(d, 12*time.Minute)
	sweep(back.Add(62*time.Minute), 1)
}

// TestUnfinishedRestoreOfTheFuture has no life: it goes as soon as nobody makes it.
func TestUnfinishedRestoreOfTheFuture(t *testing.T) {
	now := time.Now()
	d, lineage := dropped(t, vfs.NewMem(), now.Add(time.Hour))
	defer closeAll(t, d)
	if err := d.writeUndo("t", lineage, UndoUnfinished, now); err != nil {
		t.Fatal(err)
	}
	if removed, err := d.SweepUndo("t", now.Add(-365*24*time.Hour)); removed != 1 || err != nil {
		t.Errorf("%d removed, %v", removed, err)
	}
}

// TestHealingOfTheFuture does not count: it would keep the table from being healed until the clock comes there.
func TestHealingOfTheFuture(t *testing.T) {
	d, lineage := dropped(t, vfs.NewMem(), time.Now().Add(time.Hour))
	defer closeAll(t, d)
	if err := d.writeUndo("t", lineage, UndoHealed, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now    time.Time
		counts bool
	}{{time.Now(), true}, {time.Now().Add(-messages.Skew / 2), true}, {time.Now().Add(-365 * 24 * time.Hour), false}} {
		if last, err := d.Healed("t", c.now); last.IsZero() == c.counts || err != nil {
			t.Errorf("at %v: healed at %v, %v", c.now, last, err)
		}
	}
}
