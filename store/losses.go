package store

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

const (
	lossesDir  = "losses"
	lossSuffix = ".json"
	// keptLosses is how many acknowledged losses stay. Those that nobody took note of all do.
	keptLosses = 1000
	// lossLimit is how long a loss may be: 100 ranges of keys, each of two keys.
	lossLimit = 4 << 20
)

// unreadLossHint is what to do about a loss that cannot be read.
const unreadLossHint = "the event log names the loss too: deal with what the table lost, then remove the file"

func (d *Directory) lossPath(id string) string {
	return d.fs.PathJoin(d.path, lossesDir, id+lossSuffix)
}

// Losses returns what was lost, newest first. A pending loss whose change was not made is left out. The error names the
// losses that cannot be read; the others are returned beside it.
func (d *Directory) Losses() (losses []*messages.Loss, err error) {
	names, err := listIfExists(d.fs, d.fs.PathJoin(d.path, lossesDir))
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, name := range names {
		id, ok := strings.CutSuffix(name, lossSuffix)
		if _, err := ulid.ParseStrict(id); !ok || err != nil {
			continue
		}
		loss, err := d.readLoss(id)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if loss == nil || loss.GetPending() && !d.happened(loss) {
			continue
		}
		losses = append(losses, loss)
	}
	slices.SortFunc(losses, func(a, b *messages.Loss) int { return cmp.Compare(b.GetId(), a.GetId()) })
	return losses, errors.Join(faults...)
}

// readLoss returns the loss of an id, nil where there is none.
func (d *Directory) readLoss(id string) (*messages.Loss, error) {
	data, err := disk.ReadFile(d.fs, d.lossPath(id), lossLimit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	loss := new(messages.Loss)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, loss); err != nil {
		return nil, messages.WithHint(fmt.Errorf("parse %s: %w: %w", d.lossPath(id), err, messages.ErrDataLoss), unreadLossHint)
	}
	if loss.GetFormatVersion() > FormatVersion {
		return nil, fmt.Errorf("%s: format version is %d: %w", d.lossPath(id), loss.GetFormatVersion(), ErrNewer)
	}
	if loss.GetId() != id {
		return nil, messages.WithHint(fmt.Errorf("%s names loss %q: %w", d.lossPath(id), loss.GetId(), messages.ErrDataLoss), unreadLossHint)
	}
	return loss, nil
}

// happened tells whether the lineage that a pending loss names serves. Where current cannot be read the answer is true.
func (d *Directory) happened(loss *messages.Loss) bool {
	current, err := d.current(loss.GetTable())
	return err != nil || current == loss.GetToLineage()
}

// NoteLoss durably writes down a loss before the change that it comes with, as pending, and returns its id. What an earlier change of
// the table left pending is settled first.
func (d *Directory) NoteLoss(loss *messages.Loss) (id string, err error) {
	if err := d.noteLoss(loss); err != nil {
		return "", fmt.Errorf("note loss of table %q: %w", loss.GetTable(), err)
	}
	return loss.GetId(), nil
}

func (d *Directory) noteLoss(loss *messages.Loss) error {
	if err := d.settleLosses(loss.GetTable()); err != nil {
		return err
	}
	if err := MkdirDurably(d.fs, d.fs.PathJoin(d.path, lossesDir)); err != nil {
		return err
	}
	loss.FormatVersion, loss.Id, loss.Pending = FormatVersion, ulid.Make().String(), true
	if loss.At == nil {
		loss.At = timestamppb.Now()
	}
	return d.writeLoss(loss)
}

func (d *Directory) writeLoss(loss *messages.Loss) error {
	if d.readOnly {
		return fmt.Errorf("directory is open for reading only: %w", messages.ErrInvalid)
	}
	if err := d.Check(); err != nil {
		return err
	}
	data, err := protojson.Marshal(loss)
	if err != nil {
		return fmt.Errorf("marshal loss: %w", err)
	}
	return WriteDurably(d.fs, d.lossPath(loss.GetId()), data)
}

// SettleLosses decides what is pending of all tables: a crash may have come before the change, or after it. Losses that cannot be
// read are left as they are. The oldest acknowledged ones past the 1,000 that are kept are removed.
func (d *Directory) SettleLosses() error {
	if err := d.settleLosses(""); err != nil {
		return fmt.Errorf("settle losses: %w", err)
	}
	return nil
}

// settleLosses is SettleLosses of one table, or of all where it has no name.
func (d *Directory) settleLosses(table string) error {
	if err := d.Check(); err != nil {
		return err
	}
	dir := d.fs.PathJoin(d.path, lossesDir)
	names, err := listIfExists(d.fs, dir)
	if err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
	removed, acknowledged := false, 0
	for _, name := range names {
		id, ok := strings.CutSuffix(name, lossSuffix)
		if _, err := ulid.ParseStrict(id); !ok || err != nil {
			continue
		}
		loss, err := d.readLoss(id)
		if err != nil {
			d.logger.Warn("loss cannot be read", "error", err)
			continue
		}
		if loss == nil {
			continue
		}
		if loss.GetAcknowledged() != nil {
			acknowledged++
		}
		_, currentErr := d.current(loss.GetTable())
		switch {
		case loss.GetPending() && (table == "" || table == loss.GetTable()) && currentErr == nil:
			if d.happened(loss) {
				loss.Pending = false
				if err := d.writeLoss(loss); err != nil {
					return err
				}
				continue
			}
		case loss.GetAcknowledged() == nil || acknowledged <= keptLosses:
			continue
		}
		if err := d.fs.Remove(d.lossPath(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", d.lossPath(id), err)
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return SyncDir(d.fs, dir)
}

// SettleLoss decides one table's pending losses after a change, by what serves now.
func (d *Directory) SettleLoss(table string) error {
	if err := d.settleLosses(table); err != nil {
		return fmt.Errorf("settle losses of table %q: %w", table, err)
	}
	return nil
}

// CheckLoss returns an error where there is no loss of an id, which matches messages.ErrNotFound, or it cannot be read.
func (d *Directory) CheckLoss(id string) error {
	_, err := d.lossOf(id)
	return err
}

// lossOf returns the loss of an id that did happen, or may have.
func (d *Directory) lossOf(id string) (*messages.Loss, error) {
	if _, err := ulid.ParseStrict(id); err != nil {
		return nil, fmt.Errorf("acknowledge loss %q: it is no id: %w", id, messages.ErrInvalid)
	}
	loss, err := d.readLoss(id)
	if err == nil && (loss == nil || loss.GetPending() && !d.happened(loss)) {
		err = messages.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("acknowledge loss %s: %w", id, err)
	}
	return loss, nil
}

// AcknowledgeLoss durably writes down by whom a loss was acknowledged, and a note. A loss that is acknowledged already
// stays as it is. It returns the loss, and messages.ErrNotFound where the id names none.
func (d *Directory) AcknowledgeLoss(id, by, note string, at time.Time) (loss *messages.Loss, fresh bool, err error) {
	loss, err = d.lossOf(id)
	if err != nil {
		return nil, false, err
	}
	if loss.GetAcknowledged() != nil {
		return loss, false, nil
	}
	loss.Acknowledged, loss.By, loss.Note = timestamppb.New(at), by, note
	if err := d.writeLoss(loss); err != nil {
		return nil, false, fmt.Errorf("acknowledge loss %s: %w", id, err)
	}
	return loss, true, nil
}
