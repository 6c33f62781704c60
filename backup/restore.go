package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Choice says which backup of a table a restore takes.
type Choice struct {
	// ID is the backup, by its name or its number alone. Empty: the newest that is neither faulty nor red.
	ID string
	// At, unless zero, takes the newest of those whose cut was not after it. Not beside ID.
	At time.Time
	// History, unless empty, is where the table is, and where its lineage, and that one's, branched off: a backup of what came to
	// be put out of service is taken only where there is no other. Not beside ID.
	History []*messages.Position
	// Red allows a red backup, where ID names it.
	Red bool
}

// inHistory tells whether the table has been what the backup holds, and has not been turned back from it.
func (c Choice) inHistory(b Backup) bool {
	for i, at := range c.History {
		if at.GetLineage() == b.Lineage() {
			return i == 0 || b.Manifest.GetRecord().GetPosition().GetSeq() <= at.GetSeq()
		}
	}
	return len(c.History) == 0
}

// Choose returns the backup to restore, and in words why each newer one is passed over. The error of a table without a
// backup that may be taken matches messages.ErrNotFound; of one that is named and must not be taken
// has the code FAILED_PRECONDITION or, where its manifest is damaged, DATA_LOSS.
func (d *Directory) Choose(table string, c Choice) (b Backup, passedOver []string, err error) {
	if c.ID != "" {
		if b, err = d.Find(table, c.ID); err == nil {
			err = b.mayRestore(c.Red)
		}
		if err != nil {
			return Backup{}, nil, fmt.Errorf("choose backup: %w", err)
		}
		return b, nil, nil
	}
	backups, err := d.List(table)
	if err != nil {
		return Backup{}, nil, fmt.Errorf("choose backup: %w", err)
	}
	var aside *Backup
	newer := 0 // are passed over before it
	for _, b := range backups {
		switch err := b.mayRestore(false); {
		case err != nil:
			passedOver = append(passedOver, err.Error())
		case b.OtherCopy:
			passedOver = append(passedOver, fmt.Sprintf("backup %s of table %q: another copy of this directory made it", b.ID, table))
		case !c.At.IsZero() && b.CutAt().After(c.At):
			passedOver = append(passedOver, fmt.Sprintf("backup %s of table %q: its cut was at %s", b.ID, table,
				b.CutAt().Format(time.RFC3339)))
		case !c.inHistory(b):
			if aside == nil {
				aside, newer = &b, len(passedOver)
			}
			passedOver = append(passedOver, fmt.Sprintf("backup %s of table %q: a restore has put what it holds out of service", b.ID, table))
		default:
			return b, passedOver, nil
		}
	}
	if aside != nil {
		return *aside, passedOver[:newer], nil
	}
	what := fmt.Errorf("table %q has no backup: %w", table, messages.ErrNotFound)
	hint := "name the directory in which its backups lie: backup_dir, or --backup-dir"
	if len(backups) > 0 {
		what = fmt.Errorf("table %q has no backup to restore among %d: %w", table, len(backups), messages.ErrNotFound)
		hint = "the newest: " + passedOver[0]
		if backups[0].OtherCopy {
			hint += "; name it to restore it all the same"
		}
	}
	return Backup{}, passedOver, messages.WithHint(fmt.Errorf("choose backup: %w", what), hint)
}

// CutAt is when the table was captured, as far as the manifest tells: when its backup began. Zero without a manifest.
func (b Backup) CutAt() time.Time {
	if b.Manifest == nil {
		return time.Time{}
	}
	return b.Manifest.GetStarted().AsTime()
}

const newerHint = "use the version of gabion that wrote it, or a newer one"

// mayRestore returns an error where a backup must not be put in a table's place.
func (b Backup) mayRestore(red bool) error {
	refuse := func(hint, format string, args ...any) error {
		text := fmt.Sprintf("backup %s: ", b.ID) + fmt.Sprintf(format, args...)
		return messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "%s", text).Of(b.Table).Advise(hint)
	}
	switch m := b.Manifest; {
	case errors.Is(b.Fault, store.ErrNewer):
		return messages.WithHint(fmt.Errorf("backup %s of table %q: %w", b.ID, b.Table, b.Fault), newerHint)
	case b.Fault != nil:
		return messages.WithHint(fmt.Errorf("backup %s of table %q: %w", b.ID, b.Table, b.Fault), "take another backup of the table")
	case m.GetComparer() != store.Comparer:
		return refuse("use the program that wrote it", "its keys are ordered by %q, this version orders by %q", m.GetComparer(), store.Comparer)
	case m.GetPebbleFormat() > uint64(store.PebbleFormat):
		return refuse(newerHint,
			"its files are of Pebble's format %d, this version knows %d", m.GetPebbleFormat(), uint64(store.PebbleFormat))
	case b.Red && !red:
		return refuse("take another backup; verify this one again; or allow it with --red, as far as it can be read",
			"it is red: %s", b.redReason())
	}
	return nil
}

// redReason says why a backup is red.
func (b Backup) redReason() string {
	if b.Proof == nil {
		return "its proofs cannot be read"
	}
	return b.Proof.GetReason()
}

// Restore copies the files of a backup into the directory to, which must be empty, and verifies the copy as Verify does.
// A fault of the backup makes it red, and is an error that matches messages.ErrDataLoss; a fault of the copy alone is
// neither. A backup that Choose would refuse is refused: of a red one see Remains. Each file is fsynced; the names are
// the caller's to make durable. What an error leaves in to is the caller's too.
//
// Retention keeps the backup meanwhile; where retention was faster the error is messages.ErrNotFound. See Verify for
// progress and ctx.
func (d *Directory) Restore(ctx context.Context, b Backup, to string, o VerifyOptions) (*messages.Proof, error) {
	proof, err := d.restore(ctx, b, to, o)
	if err != nil {
		return nil, fmt.Errorf("restore backup %s of table %q: %w", b.ID, b.Table, err)
	}
	return proof, nil
}

func (d *Directory) restore(ctx context.Context, b Backup, to string, o VerifyOptions) (*messages.Proof, error) {
	if names, err := list(d.fs, to); err != nil {
		return nil, err
	} else if len(names) > 0 {
		return nil, fmt.Errorf("%s is not empty, it holds %q: %w", to, names[0], messages.ErrInvalid)
	}
	if o.By == "" {
		o.By = "restore"
	}
	defer d.Use(b.Table, b.ID)()
	b, err := d.reread(b)
	if err == nil {
		err = b.mayRestore(false)
	}
	if err != nil {
		return nil, err
	}
	v := d.newVerification(b, o)
	from := d.fs.PathJoin(b.Path, dbDir)
	if err := d.checkRoomAt(to, b); err != nil {
		return nil, err
	}
	copyFile := func(c *copier, entry *messages.FileEntry) (int64, string, error) {
		return c.copy(ctx, d.fs.PathJoin(from, entry.GetName()), d.fs.PathJoin(to, entry.GetName()), entry.GetSize())
	}
	if err = v.each(copyFile); err == nil {
		err = v.copied(ctx, from, to)
	}
	verified, err := d.conclude(v, err)
	switch {
	case err != nil:
		return nil, err
	case verified.Proof.GetVerdict() == messages.Verdict_VERDICT_RED:
		return nil, messages.WithHint(fmt.Errorf("it is red: %s: %w", verified.Proof.GetReason(), messages.ErrDataLoss),
			"restore another backup of the table; gabion backups lists them")
	}
	// A proof that is not kept does not matter here: the copy is sound.
	return verified.Proof, nil
}

// copied is database of a copy whose files were hashed as they were read. What is wrong with it is the backup's fault only
// where the backup itself is wrong in some way: its disk is another.
func (v *verification) copied(ctx context.Context, from, to string) error {
	err := v.database(ctx, to)
	var found *damage
	if !errors.As(err, &found) {
		return err
	}
	if err := v.database(ctx, from); err != nil {
		return err
	}
	return messages.WithHint(fmt.Errorf("the backup is sound, but its copy in %s is not: %v", to, found),
		"look at the disk that it was copied to")
}

// checkRoomAt returns an error where a copy of the backup at path would leave too little of the disk free.
func (d *Directory) checkRoomAt(path string, b Backup) error {
	room, known, err := store.RoomAt(d.fs, path, d.minFree)
	if err != nil || !known {
		return err
	}
	need := uint64(b.Bytes())
	if room.Free >= need+room.Reserve {
		return nil
	}
	return messages.WithHint(fmt.Errorf("%d MiB are to be copied, the disk has %d MiB free, and %d MiB must stay free: %w",
		need>>20, room.Free>>20, room.Reserve>>20, messages.ErrExhausted), "free some space on the disk of the table")
}

// Bytes is the size of the backup's files, linked ones included.
func (b Backup) Bytes() int64 {
	var bytes int64
	for _, entry := range b.Manifest.GetFiles() {
		bytes += entry.GetSize()
	}
	return bytes
}
