package store

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// TestLossAndFlipBesideACrash takes the power away after every change that the record of a loss and its flip make.
// Whatever is left, the loss is there exactly where the new lineage serves.
func TestLossAndFlipBesideACrash(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &hookFS{FS: mem}
	d := openDirectory(t, fs)
	s := openTable(t, d)
	mustPut(t, s, "a", "v")
	old := s.Lineage()
	closeAll(t, s)
	left, err := d.Examine("t", old, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	making, err := d.StartRestore("t")
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Rebuild(fs, making.Path(), func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := making.Finish(nil); err != nil {
		t.Fatal(err)
	}
	crashes, flipped, rng := 0, 0, random(t)
	look := func() {
		for _, disk := range []*vfs.MemFS{crash(mem, 0, nil), crash(mem, 50, rng), killed(mem)} {
			d := openDirectory(t, disk)
			current, err := d.Current("t")
			if err != nil {
				t.Fatal(err)
			}
			losses, err := d.Losses()
			if err != nil {
				t.Fatal(err)
			}
			if (current == making.Lineage()) != (len(losses) == 1) {
				t.Errorf("after %d changes %s serves, and the losses are %v", crashes, current, losses)
			}
			for _, loss := range losses {
				if loss.GetPending() || loss.GetToSeq() != 9 {
					t.Errorf("after %d changes the loss is %v", crashes, loss)
				}
				flipped++
			}
			closeAll(t, d)
		}
		crashes++
	}
	fs.hooks(nil, func(o fileOp) {
		if o.changes() {
			look()
		}
	})
	loss := &messages.Loss{Table: "t", FromLineage: old, ToLineage: making.Lineage(), FromSeq: 2, ToSeq: 9}
	if _, err := d.NoteLoss(loss); err != nil {
		t.Fatal(err)
	}
	if err := making.Serve(UndoHealed, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := d.SettleLoss("t"); err != nil {
		t.Fatal(err)
	}
	fs.hooks(nil, nil)
	look()
	if crashes < 10 || flipped < 4 {
		t.Errorf("%d crashes, %d after the flip", crashes, flipped)
	}
	closeAll(t, d)
}

// TestAcknowledgedLosses are kept, the newest 1,000; those that nobody took note of all are.
func TestAcknowledgedLosses(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	lineage := s.Lineage()
	closeAll(t, s)
	var first string
	for i := range 4 {
		id, err := d.NoteLoss(&messages.Loss{Table: "t", ToLineage: lineage, ToSeq: uint64(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = id
		} else if _, fresh, err := d.AcknowledgeLoss(id, "ann", "", time.Now()); err != nil || !fresh {
			t.Fatalf("fresh %v, %v", fresh, err)
		}
	}
	for range keptLosses + 20 {
		loss := &messages.Loss{FormatVersion: FormatVersion, Id: ulid.Make().String(), Table: "t", Acknowledged: timestamppb.Now()}
		if err := d.writeLoss(loss); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the first settles what is pending
		if err := d.SettleLosses(); err != nil {
			t.Fatal(err)
		}
	}
	losses, err := d.Losses()
	if err != nil || len(losses) != keptLosses+1 || losses[len(losses)-1].GetId() != first {
		t.Errorf("%d losses, %v", len(losses), err)
	}
	if _, _, err := d.AcknowledgeLoss("../x", "", "", time.Now()); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("acknowledged a path: %v", err)
	}
	closeAll(t, d)
}
