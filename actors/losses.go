package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// byRequest is in the place of a name where a loss is acknowledged by the request that asked for it.
const byRequest = "the restore that was asked for"

// noteLoss writes down what a flip is about to lose, and returns the loss's id, "" where nothing is lost. It comes
// before the flip: what a crash leaves behind is then decided by what serves. A restore by request acknowledges its loss
// itself: its report names the loss.
func (r *restore) noteLoss(restored *messages.TableRestored, lineage, old string) (id string, err error) {
	if restored.GetLostTo() == 0 && restored.GetRowsMissing() == 0 && len(restored.GetDamaged()) == 0 {
		return "", nil
	}
	loss := &messages.Loss{Table: restored.GetTable(), Cause: restored.GetReason(), Source: restored.GetSource(), BackupId: restored.GetBackupId(),
		Healed: r.healed, FromLineage: old, ToLineage: lineage, FromSeq: restored.GetLostFrom(), ToSeq: restored.GetLostTo(),
		Damaged: restored.GetDamaged(), RowsMissing: restored.GetRowsMissing(), At: now()}
	if !r.healed {
		loss.Acknowledged, loss.By = loss.At, byRequest
	}
	t := r.tree
	t.lossMu.Lock()
	defer t.lossMu.Unlock()
	return t.directory.NoteLoss(loss)
}

// settleLoss decides a loss after its flip, by what serves now.
func (t *tree) settleLoss(table string) {
	t.lossMu.Lock()
	defer t.lossMu.Unlock()
	if err := t.directory.SettleLoss(table); err != nil {
		t.config.Logger.Warn("loss stays pending until the next start", "table", table, "error", err)
	}
}

// readLosses returns the losses, newest first, those that can be read beside an error.
func (t *tree) readLosses() ([]*messages.Loss, error) {
	type found struct {
		losses []*messages.Loss
		err    error
	}
	f, err := patient(&t.losing, listTimeout, func() (found, error) {
		losses, err := t.directory.Losses()
		return found{losses, err}, nil
	})
	if err := errors.Join(err, f.err); err != nil {
		return f.losses, fmt.Errorf("list losses: %w", err)
	}
	return f.losses, nil
}

// listLosses answers ListLosses.
func (t *tree) listLosses(m *messages.ListLosses) proto.Message {
	losses, err := t.readLosses()
	if err != nil {
		return messages.FailureOf(err)
	}
	return &messages.LossList{Losses: slices.DeleteFunc(losses, func(l *messages.Loss) bool {
		return m.GetUnacknowledged() && l.GetAcknowledged() != nil || len(m.GetTables()) > 0 && !slices.Contains(m.GetTables(), l.GetTable())
	})}
}

// acknowledgeLoss answers AcknowledgeLoss.
func (t *tree) acknowledgeLoss(m *messages.AcknowledgeLoss) proto.Message {
	if t.config.ReadOnly {
		return readOnlyFailure()
	}
	list, err := patient(t.asking.of("losses"), t.config.CopyTimeout, func() (*messages.LossList, error) {
		// The directories stay locked until the disk has answered.
		t.admin.began()
		defer t.admin.ended()
		return t.takeNote(m)
	})
	if err != nil {
		return messages.FailureOf(messages.WithHint(err, "gabion health lists the losses that nobody has acknowledged"))
	}
	return list
}

func (t *tree) takeNote(m *messages.AcknowledgeLoss) (*messages.LossList, error) {
	t.lossMu.Lock()
	defer t.lossMu.Unlock()
	ids := m.GetIds()
	var unread error
	if m.GetAll() {
		var losses []*messages.Loss
		losses, unread = t.directory.Losses()
		for _, loss := range losses {
			if loss.GetAcknowledged() == nil {
				ids = append(ids, loss.GetId())
			}
		}
	}
	// All faults at once, and nothing is acknowledged beside one: whoever mistypes an id would not know which are.
	var faults []error
	for _, id := range ids {
		faults = append(faults, t.directory.CheckLoss(id))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	list := &messages.LossList{}
	for _, id := range ids {
		loss, fresh, err := t.directory.AcknowledgeLoss(id, messages.Text(m.GetBy()), messages.Text(m.GetNote()), time.Now())
		if err != nil {
			return nil, err
		}
		if fresh {
			t.publisher.publish(&messages.LossAcknowledged{Loss: loss})
			t.config.Logger.Info("loss acknowledged", "loss", id, "table", loss.GetTable(), "by", loss.GetBy(), "note", loss.GetNote())
		}
		list.Losses = append(list.Losses, loss)
	}
	if unread != nil {
		return nil, fmt.Errorf("acknowledge all losses, of which the others are acknowledged: %w", unread)
	}
	return list, nil
}

// AcknowledgeLoss takes note of losses, so that health shows them as a concern no more, and returns them once that is durable. An id
// without a loss is messages.ErrNotFound; the error names all of them, and nothing is acknowledged then. With All, an error names each
// loss that cannot be read; all others are acknowledged.
func (g *Gabion) AcknowledgeLoss(ctx context.Context, m *messages.AcknowledgeLoss) ([]*messages.Loss, error) {
	list, err := ask[*messages.LossList](ctx, g.tree.repliers, g.Coordinator(), m)
	return list.GetLosses(), err
}

// Losses returns what tables lost, newest first.
func (g *Gabion) Losses(ctx context.Context, m *messages.ListLosses) ([]*messages.Loss, error) {
	list, err := ask[*messages.LossList](ctx, g.tree.repliers, g.Coordinator(), m)
	return list.GetLosses(), err
}

// addLosses fills in what nobody has acknowledged. It is red: rows that were acknowledged are gone, whatever the table serves now.
func (t *tree) addLosses(report *messages.HealthReport, found *findings) {
	losses, err := t.readLosses()
	if err != nil {
		found.fault(report, err, messages.Figure_FIGURE_LOSSES)
	}
	for _, loss := range losses {
		if loss.GetAcknowledged() != nil {
			continue
		}
		report.Losses = append(report.Losses, loss)
		if m := t.members.find(loss.GetTable()); m != nil && m.known() {
			found.of(loss.GetTable()).red("%s", lossConcern(loss))
		} else {
			found.whole.red("table %s: %s", loss.GetTable(), lossConcern(loss))
		}
	}
}

// lossConcern is a loss in a line of health.
func lossConcern(l *messages.Loss) string {
	text := "lost "
	switch {
	case l.GetToSeq() > 0:
		text += fmt.Sprintf("the operations with seq %d to %d", l.GetFromSeq(), l.GetToSeq())
	case l.GetRowsMissing() > 0:
		text += fmt.Sprintf("%d rows", l.GetRowsMissing())
	default:
		text += "rows; how many is not known"
	}
	return text + fmt.Sprintf(" at %s, and nobody has acknowledged loss %s", l.GetAt().AsTime().Format(time.RFC3339), l.GetId())
}
