package actors_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// losses are those of the host, newest first.
func (h *host) losses() []*messages.Loss {
	h.Helper()
	losses, err := h.g.Losses(h.Context(), &messages.ListLosses{})
	if err != nil {
		h.Fatal(err)
	}
	return losses
}

// wantConcern wants health to be red for a loss, or to have nothing to say about one.
func (h *host) wantConcern(id string) {
	h.Helper()
	report, err := h.g.Health(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	row := h.health("tasks")
	concerned := strings.Contains(strings.Join(row.GetConcerns(), "; "), "lost ")
	switch {
	case id == "" && (concerned || len(report.GetLosses()) > 0):
		h.Errorf("health is concerned: %v, %v", row.GetConcerns(), report.GetLosses())
	case id != "" && (row.GetGrade() != messages.Grade_GRADE_RED || report.GetGrade() != messages.Grade_GRADE_RED || !concerned ||
		!strings.Contains(strings.Join(report.GetConcerns(), "; "), id) || len(report.GetLosses()) != 1 || report.GetLosses()[0].GetId() != id):
		h.Errorf("health is not concerned: %v, %v, %v", row.GetGrade(), row.GetConcerns(), report.GetLosses())
	}
}

// TestLossOfAHealing is a concern until somebody takes note of it, across restarts, and is kept after that.
func TestLossOfAHealing(t *testing.T) {
	bubble(t, actors.Config{SelfHeal: true}, func(h *host) {
		h.fillAndBreak()
		h.start()
		pass(time.Minute)
		h.settle()
		all := h.losses()
		if len(all) != 1 {
			t.Fatalf("losses %v", all)
		}
		loss := all[0]
		if loss.GetFromSeq() != 26 || loss.GetToSeq() != 40 || !loss.GetHealed() || loss.GetSource() != "live" || loss.GetPending() ||
			loss.GetToLineage() != h.info("tasks").GetPosition().GetLineage() || loss.GetFromLineage() == "" || loss.GetCause() == "" ||
			h.restored()[0].GetLossId() != loss.GetId() {
			t.Errorf("loss %v", loss)
		}
		h.wantConcern(loss.GetId())
		h.backup()
		pass(72 * time.Hour)
		h.wantConcern(loss.GetId())
		h.stop()
		h.start()
		h.settle()
		h.wantConcern(loss.GetId())

		seen := h.events()
		if _, err := h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{Ids: []string{"01ARZ3NDEKTSV4RRFFQ69G5FAV"}}); !errors.Is(err, messages.ErrNotFound) || len(messages.Hints(err)) == 0 {
			t.Errorf("acknowledged another loss: %v", err)
		}
		if _, err := h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{}); !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("acknowledged nothing: %v", err)
		}
		if _, err := h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{Ids: []string{loss.GetId(), "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"}}); !errors.Is(err, messages.ErrNotFound) ||
			!strings.Contains(err.Error(), "G5FAV: not found") || !strings.Contains(err.Error(), "G5FAW: not found") {
			t.Errorf("acknowledged beside others: %v", err)
		}
		h.wantConcern(loss.GetId())
		for range 2 { // the second changes nothing
			noted, err := h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{Ids: []string{loss.GetId()}, By: "ann", Note: "sent again"})
			if err != nil || len(noted) != 1 || noted[0].GetBy() != "ann" || noted[0].GetNote() != "sent again" || noted[0].GetAcknowledged() == nil {
				t.Fatalf("noted %v, %v", noted, err)
			}
		}
		h.settle()
		if events := eventsOf[*messages.LossAcknowledged](seen); len(events) != 1 || events[0].GetLoss().GetId() != loss.GetId() {
			t.Errorf("events %v", events)
		}
		h.wantConcern("")
		h.stop()
		h.start()
		h.settle()
		h.wantConcern("")
		if all := h.losses(); len(all) != 1 || all[0].GetBy() != "ann" {
			t.Errorf("losses %v", all)
		}
		if noted, err := h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{All: true}); err != nil || len(noted) != 0 {
			t.Errorf("noted %v, %v", noted, err)
		}
	})
}

// TestLossOfARestore that was asked for is kept, and acknowledged by the request: its report said what is lost.
func TestLossOfARestore(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		h.restore(&messages.RestoreTable{Table: "tasks"})
		if all := h.losses(); len(all) != 0 {
			t.Errorf("a restore that lost nothing: %v", all)
		}
		h.put("tasks", "b", "v")
		r := h.restore(&messages.RestoreTable{Table: "tasks"}).GetRestored()
		all := h.losses()
		if len(all) != 1 || all[0].GetAcknowledged() == nil || all[0].GetFromSeq() != 2 || all[0].GetToSeq() != 2 || all[0].GetId() != r.GetLossId() {
			t.Errorf("losses %v", all)
		}
		h.wantConcern("")
	})
}

// TestLossOfAFlipThatFails did not happen; and without its record there is no flip.
func TestLossOfAFlipThatFails(t *testing.T) {
	for name, fails := range map[string]func(o fileOp) bool{
		"flip": func(o fileOp) bool {
			return o.kind == "create" && strings.HasPrefix(o.path, dir+"/tables/tasks/current")
		},
		"loss": func(o fileOp) bool { return strings.HasPrefix(o.path, dir+"/losses/") && o.kind == "create" },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				h.put("tasks", "a", "v")
				h.backup()
				h.put("tasks", "b", "v")
				heal := h.fs.fail(fails)
				if _, err := h.g.Restore(h.Context(), &messages.RestoreTable{Table: "tasks"}); err == nil {
					t.Error("restored")
				}
				heal()
				h.wantValue("tasks", "b", "v")
				if all := h.losses(); len(all) != 0 {
					t.Errorf("losses %v", all)
				}
				h.restore(&messages.RestoreTable{Table: "tasks"})
				if all := h.losses(); len(all) != 1 {
					t.Errorf("losses %v", all)
				}
			})
		})
	}
}

// TestLossOfADroppedTable stays a concern of the whole.
func TestLossOfADroppedTable(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, SelfHeal: true}, func(h *host) {
		h.fillAndBreak()
		h.start()
		pass(time.Minute)
		h.settle()
		if err := h.g.DropTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		report, err := h.g.Health(h.Context())
		if err != nil || len(report.GetLosses()) != 1 || report.GetGrade() != messages.Grade_GRADE_RED || !strings.Contains(report.GetConcerns()[0], "table tasks: lost ") {
			t.Errorf("health %v, %v, %v", report.GetLosses(), report.GetConcerns(), err)
		}
		if _, err := h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{All: true}); err != nil {
			t.Fatal(err)
		}
		if report, err := h.g.Health(h.Context()); err != nil || len(report.GetLosses()) != 0 {
			t.Errorf("health %v, %v", report.GetLosses(), err)
		}
	})
}

// TestLossThatCannotBeRead is unknown, and shown so.
func TestLossThatCannotBeRead(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		h.put("tasks", "b", "v")
		id := h.restore(&messages.RestoreTable{Table: "tasks"}).GetRestored().GetLossId()
		f, err := h.fs.Create(dir+"/losses/"+id+".json", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		report, err := h.g.Health(h.Context())
		if err != nil || len(report.GetFaults()) != 1 || !strings.Contains(report.GetFaults()[0].GetMessage(), "losses") || report.GetGrade() == messages.Grade_GRADE_GREEN {
			t.Errorf("health %v, %v", report, err)
		}
	})
}

// TestAllLossesBesideOneThatCannotBeRead: each that can be read is acknowledged, and the error names the other one.
func TestAllLossesBesideOneThatCannotBeRead(t *testing.T) {
	bubble(t, actors.Config{SelfHeal: true}, func(h *host) {
		h.fillAndBreak()
		h.start()
		pass(time.Minute)
		h.settle()
		const bad = dir + "/losses/01ARZ3NDEKTSV4RRFFQ69G5FAV.json"
		f, err := h.fs.Create(bad, vfs.WriteCategoryUnspecified)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		seen := h.events()
		_, err = h.g.AcknowledgeLoss(h.Context(), &messages.AcknowledgeLoss{All: true, By: "ann"})
		if !errors.Is(err, messages.ErrDataLoss) || !strings.Contains(err.Error(), bad) || !strings.Contains(strings.Join(messages.Hints(err), " "), "remove the file") {
			t.Errorf("acknowledge = %v, with the hints %q", err, messages.Hints(err))
		}
		h.settle()
		if events := eventsOf[*messages.LossAcknowledged](seen); len(events) != 1 {
			t.Errorf("events %v", events)
		}
		if report, err := h.g.Health(h.Context()); err != nil || len(report.GetLosses()) != 0 || len(report.GetFaults()) != 1 || report.GetFaults()[0].GetHint() == "" {
			t.Errorf("health %v, %v, %v", report.GetLosses(), report.GetFaults(), err)
		}
	})
}
