package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Cut is a captured table, to be published.
type Cut struct {
	Table string
	// RunID and Label are the run's; Label may be empty.
	RunID, Label string
	// Staging is the directory of the cut's Pebble checkpoint. Publish removes it in any case.
	Staging string
	// Lent are the files of the cut that are not in Staging, by name. They are paths of the live table's own files,
	// where the cut could not be made by links. They must stay until Publish returns. Publish reads them and no more.
	Lent map[string]string
	// Content is what the table holds at the cut.
	Content store.Content
	// Started is when the table's backup began. Zero means now.
	Started time.Time
	// Independent copies every file, in place of linking those that an earlier backup holds.
	Independent bool
}

func (c Cut) check() error {
	if err := messages.CheckTableName(c.Table); err != nil {
		return err
	}
	var errs []error
	if c.Staging == "" {
		errs = append(errs, errors.New("staging is missing"))
	}
	if c.RunID == "" {
		errs = append(errs, errors.New("run id is missing"))
	}
	if table := c.Content.Record.GetTable(); table != c.Table {
		errs = append(errs, fmt.Errorf("record is of table %q", table))
	}
	if c.Content.Record.GetPosition().GetLineage() == "" {
		errs = append(errs, errors.New("record has no lineage"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("check cut: %w: %w", messages.ErrInvalid, errors.Join(errs...))
	}
	return nil
}

// Publish makes a complete backup of a cut: sstables that the newest usable backup of the same lineage
// holds are linked from there, the rest is copied and hashed. When it returns a row, everything the row
// speaks of is durable. The staging is removed in any case.
//
// progress, unless nil, is called on the calling goroutine with the bytes copied since the last call:
// at least once per MiB, and once per file, which may be 0 bytes for a file that was linked or synced.
// So a caller can tell a slow copy from one that hangs. ctx is looked at between buffers, and no longer
// once the backup has its final name.
//
// After an error no new name without .pending- is there, as far as the disk still obeys, and what is
// left is swept by the next Retain or Open. A second Publish of one table gets ErrBusy.
func (d *Directory) Publish(ctx context.Context, cut Cut, progress func(bytes int64)) (*messages.TableResult, error) {
	result, err := d.publish(ctx, cut, progress)
	if cut.Staging != "" {
		// Left behind, the staging costs space until the next start; it is no reason to fail.
		if _, err := d.discard(cut.Staging, store.InDatabase); err != nil {
			d.log.Warn("remove staging", "path", cut.Staging, "error", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("publish backup of table %q: %w", cut.Table, err)
	}
	return result, nil
}

func (d *Directory) publish(ctx context.Context, cut Cut, progress func(int64)) (*messages.TableResult, error) {
	if err := cut.check(); err != nil {
		return nil, err
	}
	if cut.Started.IsZero() {
		cut.Started = time.Now()
	}
	if progress == nil {
		progress = func(int64) {}
	}
	if err := d.begin(); err != nil {
		return nil, err
	}
	defer d.end()
	if err := d.standing().refused; err != nil { // the directory that the run has found may have been replaced since
		return nil, err
	}
	t := d.table(cut.Table)
	if err := t.startPublish(ctx); err != nil {
		return nil, err
	}
	defer t.endPublish()

	p, err := d.newPublication(cut, progress)
	if err != nil {
		return nil, err
	}
	result, err := p.run(ctx)
	if err != nil {
		p.discard()
		return nil, err
	}
	return result, nil
}

// newPublication names the backup and finds the one to link from: the newest that holds what the table was once. It makes nothing but the table's
// directory, which a crash may leave empty.
func (d *Directory) newPublication(cut Cut, progress func(int64)) (*publication, error) {
	dir := d.fs.PathJoin(d.path, cut.Table)
	if err := d.mkdir(dir); err != nil {
		return nil, err
	}
	names, err := list(d.fs, dir)
	if err != nil {
		return nil, err
	}
	base, _, err := d.newest(cut.Table, func(b Backup) bool {
		return !cut.Independent && b.usable() && !b.OtherCopy && cut.Content.Follows(b.Content())
	})
	if err != nil {
		return nil, err
	}
	number := nextNumber(names)
	id := makeID(number, cut.Started)
	p := &publication{
		d: d, fs: d.fs, cut: cut, progress: progress, base: base, known: map[string]*messages.FileEntry{},
		copier: &copier{fs: d.fs, progress: progress},
		dir:    dir, number: number, id: id,
		pending: d.fs.PathJoin(dir, pendingPrefix+id),
		final:   d.fs.PathJoin(dir, id),
	}
	for _, entry := range base.Manifest.GetFiles() {
		p.known[entry.GetName()] = entry
	}
	return p, nil
}

// run builds the backup under its pending name and gives it its final one. A crash before the rename
// leaves a pending directory; between the rename and the fsync of the parent, a pending directory or a
// complete backup, since all that the name stands for was durable before.
func (p *publication) run(ctx context.Context) (*messages.TableResult, error) {
	names, err := p.staged()
	if err != nil {
		return nil, err
	}
	if err := p.checkRoom(names); err != nil {
		return nil, err
	}
	db := p.fs.PathJoin(p.pending, dbDir)
	if err := p.fs.MkdirAll(db, 0o755); err != nil {
		return nil, fmt.Errorf("make directory %s: %w", db, err)
	}
	for _, name := range names {
		if err := p.take(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := store.SyncDir(p.fs, db); err != nil {
		return nil, err
	}
	hash, err := writeManifest(p.fs, p.pending, p.manifest())
	if err != nil {
		return nil, err
	}
	if err := store.SyncDir(p.fs, p.pending); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.renaming = true
	if err := p.fs.Rename(p.pending, p.final); err != nil {
		return nil, fmt.Errorf("rename %s: %w", p.pending, err)
	}
	if err := store.SyncDir(p.fs, p.dir); err != nil {
		return nil, err
	}
	// The next row must find there what this row names.
	if err := p.d.Check(); err != nil {
		return nil, err
	}
	return p.result(hash), nil
}

func (p *publication) manifest() *messages.Manifest {
	m := &messages.Manifest{
		FormatVersion: store.FormatVersion,
		StoreId:       p.d.storeID,
		RunId:         p.cut.RunID,
		Label:         p.cut.Label,
		Table:         p.cut.Table,
		Number:        p.number,
		Record:        p.cut.Content.Record,
		Started:       timestamppb.New(p.cut.Started),
		Finished:      timestamppb.Now(),
		Files:         p.files,
		Sstables:      p.cut.Content.SSTables,
		CopyId:        p.d.CopyID(),
	}
	stampEngine(m)
	return m
}

func (p *publication) result(hash string) *messages.TableResult {
	return &messages.TableResult{
		Table:          p.cut.Table,
		Outcome:        messages.Outcome_OUTCOME_BACKED_UP,
		BackupId:       p.id,
		ManifestSha256: hash,
		Position:       p.cut.Content.Record.GetPosition(),
		Count:          p.cut.Content.Record.GetCount(),
		Bytes:          p.bytes,
		CopiedBytes:    p.copied,
		Started:        timestamppb.New(p.cut.Started),
		Finished:       timestamppb.Now(),
	}
}

// discard removes what a failed publication left, as far as the disk obeys.
func (p *publication) discard() {
	if p.renaming {
		// The backup may have its final name, but nobody will be told that it is durable. It loses
		// the name before its first file, as any removal.
		err := p.d.removeBackup(p.dir, p.id)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			p.d.log.Warn("discard backup", "path", p.final, "error", err)
		}
	}
	if _, err := p.d.discard(p.pending, inBackup); err != nil {
		p.d.log.Warn("discard backup", "path", p.pending, "error", err)
	}
}
