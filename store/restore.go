package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// The reasons of an UndoRecord beside UndoDropped.
const (
	// UndoRestored: another lineage was put in the place of this one.
	UndoRestored = "restored"
	// UndoHealed: Gabion did so by itself.
	UndoHealed = "healed"
	// UndoUnfinished: the lineage was being made by a restore that did not come to its end. Its life has ended when it
	// begins.
	UndoUnfinished = "unfinished restore"
)

// pendingPrefix begins the name of a directory in which a restore collects files. It counts for nothing.
const pendingPrefix = ".pending-"

// Restoring is a lineage that a restore makes beside the one that serves. The order is Path, which the caller fills, Finish,
// Serve; Abandon ends it wherever it is. One goroutine at a time.
type Restoring struct {
	d              *Directory
	table, lineage string
	finished       bool
	served         bool // it is, or was, the lineage that serves: what comes of it is not the restore's to say
	release        func()
}

// StartRestore mints a lineage for a table and makes a directory for its files. The table may serve, be damaged, or not be
// there. Whatever crash follows, before Serve the table is what it was, and what lies beside is removed by SweepUndo.
func (d *Directory) StartRestore(table string) (*Restoring, error) {
	if err := messages.CheckTableName(table); err != nil {
		return nil, err
	}
	r, err := d.startRestore(table)
	if err != nil {
		return nil, fmt.Errorf("start restore of table %q: %w", table, err)
	}
	return r, nil
}

func (d *Directory) startRestore(table string) (*Restoring, error) {
	if d.readOnly {
		return nil, fmt.Errorf("directory is open for reading only: %w", messages.ErrInvalid)
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	r := &Restoring{d: d, table: table, lineage: ulid.Make().String()}
	r.release, _ = d.making.claim(r.lineage) // nobody else knows it
	if err := r.start(); err != nil {
		return nil, errors.Join(err, r.Abandon())
	}
	return r, nil
}

func (r *Restoring) start() error {
	d := r.d
	if err := MkdirDurably(d.fs, d.tablePath(r.table)); err != nil {
		return err
	}
	// Before there is a directory of that name: without this record a lineage that current does not name is data that
	// lost its current.
	if err := d.writeUndo(r.table, r.lineage, UndoUnfinished, time.Now()); err != nil {
		return err
	}
	if err := d.fs.MkdirAll(r.Path(), 0o755); err != nil {
		return fmt.Errorf("make directory %s: %w", r.Path(), err)
	}
	return nil
}

// Lineage is the lineage being made.
func (r *Restoring) Lineage() string { return r.lineage }

// Path is the directory that the files of the database go into, each fsynced by who writes it.
func (r *Restoring) Path() string {
	return r.d.fs.PathJoin(r.d.tablePath(r.table), pendingPrefix+r.lineage)
}

// Finish makes the files in Path the lineage's: source is their record, as the backup's manifest has it, which the record
// in the database must be at the position of. With nil it is the record in the database, whatever position that is at; its
// sums prove nothing then, and the table is at cut until they are counted: for what a red backup has left. From here on the
// lineage branches off from there: its seq goes on, its incarnation begins anew. When Finish returns, all of it is durable,
// and it still does not serve. It returns the lineage's first record.
func (r *Restoring) Finish(source *messages.TableRecord) (*messages.TableRecord, error) {
	record, err := r.finish(source)
	if err != nil {
		return nil, fmt.Errorf("finish restore of table %q: %w", r.table, err)
	}
	return record, nil
}

func (r *Restoring) finish(source *messages.TableRecord) (*messages.TableRecord, error) {
	d := r.d
	if err := d.Check(); err != nil {
		return nil, err
	}
	record, err := d.rewriteRecord(r.table, r.Path(), func(have *messages.TableRecord) (*messages.TableRecord, error) {
		return r.branch(have, source)
	})
	if err != nil {
		return nil, err
	}
	if err := SyncDir(d.fs, r.Path()); err != nil {
		return nil, err
	}
	path := d.fs.PathJoin(d.tablePath(r.table), r.lineage)
	if err := d.writeMark(path, r.lineage, record.GetPosition().GetSeq()); err != nil {
		return nil, err
	}
	if err := d.fs.Rename(r.Path(), path); err != nil {
		return nil, fmt.Errorf("rename %s: %w", r.Path(), err)
	}
	if err := SyncDir(d.fs, d.tablePath(r.table)); err != nil {
		return nil, err
	}
	r.finished = true
	return record, nil
}

// branch returns the lineage's first record.
func (r *Restoring) branch(have, source *messages.TableRecord) (*messages.TableRecord, error) {
	record := cloneRecord(source)
	if source == nil {
		record = cloneRecord(have)
		record.Accounting = messages.Accounting_ACCOUNTING_AT_CUT
	} else if !proto.Equal(have.GetPosition(), source.GetPosition()) {
		return nil, fmt.Errorf("the files are at %s, not at %s: %w", PositionText(have.GetPosition()),
			PositionText(source.GetPosition()), messages.ErrDataLoss)
	}
	record.FormatVersion = FormatVersion
	record.Table = r.table
	record.Parent = record.GetPosition()
	record.Position = &messages.Position{Lineage: r.lineage, Seq: record.GetParent().GetSeq()}
	record.Created = time.Now().UnixNano()
	return record, nil
}

// rewriteRecord replaces the record of the database at path, which nobody serves, by what replace makes of it, and leaves
// nothing in its WAL.
func (d *Directory) rewriteRecord(table, path string,
	replace func(have *messages.TableRecord) (*messages.TableRecord, error)) (record *messages.TableRecord, err error) {
	frozen := newFreezer(d.fs, path, d.freezeAfter, nil)
	db, err := d.openPebble(path, frozen, frozen, d.logger.With("table", table), func(o *pebble.Options) {
		o.ErrorIfNotExists = true
	})
	if err == nil {
		err = func() error {
			have, err := readRecord(db)
			if err != nil {
				return err
			}
			if record, err = replace(have); err != nil {
				return err
			}
			if err := writeRecord(db, record); err != nil {
				return err
			}
			return db.Flush()
		}()
		err = errors.Join(err, closeDB(db))
	}
	if frozen.frozen.Load() {
		return nil, fmt.Errorf("%w: %w", ErrFrozen, frozen.why()) // what it met since is no witness of the disk
	}
	return record, witness(err)
}

// PositionText is a position in words.
func PositionText(p *messages.Position) string {
	return fmt.Sprintf("seq %d of incarnation %d of lineage %s", p.GetSeq(), p.GetIncarnation(), p.GetLineage())
}

// Serve makes the lineage the table's, by one flip of current. The table's store must be closed. The lineage that served is
// kept as undo, with the reason, until the given time; where current is lost or damaged, every lineage that is no undo yet. A crash leaves
// the table as it was, or restored; an error may leave either, see Current.
func (r *Restoring) Serve(reason string, until time.Time) error {
	if !r.finished {
		return fmt.Errorf("restore of table %q is not finished: %w", r.table, messages.ErrInvalid)
	}
	err := r.d.Serve(r.table, r.lineage, reason, until)
	if err == nil {
		r.served = true
	} else if current, currentErr := r.d.current(r.table); currentErr != nil || current == r.lineage {
		r.served = true
	}
	return err
}

// Abandon ends a restore and removes what it made, unless it served: by now it may be the undo of a drop, with rows that were
// acknowledged since.
func (r *Restoring) Abandon() error {
	defer r.release()
	if r.served {
		return nil
	}
	d := r.d
	if current, err := d.current(r.table); err != nil && !errors.Is(err, messages.ErrDataLoss) {
		return fmt.Errorf("abandon restore of table %q: %w", r.table, err)
	} else if current == r.lineage {
		return nil
	}
	_, err := d.discard(r.Path(), InDatabase)
	if err == nil {
		_, err = d.removeUndo(&messages.UndoRecord{Table: r.table, Lineage: r.lineage})
	}
	if err != nil {
		return fmt.Errorf("abandon restore of table %q: %w", r.table, err)
	}
	return nil
}

// Serve makes a lineage that lies on disk the one that serves: one that a restore has finished, or one that is kept as undo.
// See Restoring.Serve. One that a sweep is removing is messages.ErrUnavailable.
func (d *Directory) Serve(table, lineage, reason string, until time.Time) error {
	if err := messages.CheckTableName(table); err != nil {
		return err
	}
	release, ok := d.moving.claim(lineage)
	if !ok {
		return fmt.Errorf("serve lineage %s of table %q: it is being removed, or put in place: %w", lineage, table, messages.ErrUnavailable)
	}
	defer release()
	if err := d.serve(table, lineage, reason, until); err != nil {
		return fmt.Errorf("serve lineage %s of table %q: %w", lineage, table, err)
	}
	return nil
}

func (d *Directory) serve(table, lineage, reason string, until time.Time) error {
	if d.readOnly {
		return fmt.Errorf("directory is open for reading only: %w", messages.ErrInvalid)
	}
	if _, err := ulid.ParseStrict(lineage); err != nil {
		return fmt.Errorf("it is no lineage: %w: %w", err, messages.ErrInvalid)
	}
	if err := d.Check(); err != nil {
		return err
	}
	if exists, err := Exists(d.fs, d.fs.PathJoin(d.tablePath(table), lineage)); err != nil {
		return err
	} else if !exists {
		return messages.ErrNotFound
	}
	old, err := d.served(table)
	if err != nil {
		return err
	}
	// First, as in a drop: a lineage that does not serve and has no record is data that lost its current. A crash before
	// the flip leaves the record of a lineage that serves, which the next open removes.
	for _, was := range old {
		if was == lineage {
			continue
		}
		if err := d.writeUndo(table, was, reason, until); err != nil {
			return err
		}
	}
	if err := WriteDurably(d.fs, d.fs.PathJoin(d.tablePath(table), currentFile), []byte(lineage+"\n")); err != nil {
		return err
	}
	// Left behind, it is removed by the next open, and kept from SweepUndo by current.
	if err := d.settleUndo(table, lineage); err != nil {
		d.logger.Warn("undo record of the lineage that serves is still there", "table", table, "lineage", lineage, "error", err)
	}
	return nil
}

// Current returns the lineage that serves a table, or would; "" where there is none.
func (d *Directory) Current(table string) (string, error) {
	if err := messages.CheckTableName(table); err != nil {
		return "", err
	}
	return d.current(table)
}

// writeUndo durably makes a lineage one that is kept until the given time.
func (d *Directory) writeUndo(table, lineage, reason string, until time.Time) error {
	return d.putUndo(&messages.UndoRecord{FormatVersion: FormatVersion, Table: table, Lineage: lineage,
		Reason: reason, Since: timestamppb.Now(), Until: timestamppb.New(until)})
}

func (d *Directory) putUndo(record *messages.UndoRecord) error {
	data, err := protojson.Marshal(record)
	if err != nil {
		return fmt.Errorf("marshal undo: %w", err)
	}
	if err := WriteDurably(d.fs, d.undoPath(record.GetTable(), record.GetLineage()), data); err != nil {
		return err
	}
	d.lives.count(record.GetLineage(), 0)
	return nil
}
