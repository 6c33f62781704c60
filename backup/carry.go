package backup

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// CarryForward returns the row that credits the table's newest backup to another run, when the table, which holds now,
// still is what that backup holds. The row is nil, and the table needs a cut, unless the newest backup holds the same.
// Nor may that backup be faulty, red or dated in the future, or have other files than its manifest names, by name and
// size. It reads no file but the manifest.
func (d *Directory) CarryForward(table string, now store.Content) (*messages.TableResult, error) {
	started := time.Now()
	if err := d.CheckOwner(); err != nil {
		return nil, fmt.Errorf("carry table %q forward: %w", table, err)
	}
	newest, ok, err := d.newest(table, func(Backup) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("carry table %q forward: %w", table, err)
	}
	record := newest.Manifest.GetRecord()
	if !ok || !newest.usable() || newest.OtherCopy || !newest.Content().Same(now) {
		return nil, nil
	}
	if newest.ahead(started) {
		return nil, nil // credited to this run it would go on as the newest, with an age that nobody knows
	}
	bytes, err := d.measure(newest)
	if err != nil {
		// Not this run's failure: a new cut serves better than a backup that lacks a file.
		d.log.Warn("refuse to carry backup forward", "table", table, "backup_id", newest.ID, "error", err)
		return nil, nil
	}
	// A process that died between a publish's rename and its fsync left a complete backup whose name only
	// the page cache has. The row must speak of what is durable.
	if err := store.SyncDir(d.fs, d.fs.PathDir(newest.Path)); err != nil {
		return nil, fmt.Errorf("carry table %q forward: %w", table, err)
	}
	return &messages.TableResult{
		Table:          table,
		Outcome:        messages.Outcome_OUTCOME_CARRIED_FORWARD,
		BackupId:       newest.ID,
		ManifestSha256: newest.ManifestSHA256,
		Position:       record.GetPosition(),
		Count:          record.GetCount(),
		Bytes:          bytes,
		Started:        timestamppb.New(started),
		Finished:       timestamppb.Now(),
	}, nil
}

// measure returns the size of all files of a backup, or an error unless they are those of its manifest,
// by name and size.
func (d *Directory) measure(b Backup) (int64, error) {
	dir := d.fs.PathJoin(b.Path, dbDir)
	names, err := list(d.fs, dir)
	if err != nil {
		return 0, err
	}
	extra := map[string]bool{}
	for _, name := range names {
		extra[name] = name != pebbleLock // left by whoever looked into the backup with Pebble
	}
	var bytes int64
	for _, entry := range b.Manifest.GetFiles() {
		if err := d.checkSize(b, entry); err != nil {
			return 0, err
		}
		delete(extra, entry.GetName())
		bytes += entry.GetSize()
	}
	for name, counts := range extra {
		if counts {
			return 0, fmt.Errorf("check %s: %w: it is not in the manifest", d.fs.PathJoin(dir, name), messages.ErrDataLoss)
		}
	}
	return bytes, nil
}

// checkSize returns an error unless the backup's file has its recorded size.
func (d *Directory) checkSize(b Backup, entry *messages.FileEntry) error {
	path := d.fs.PathJoin(b.Path, dbDir, entry.GetName())
	info, err := d.fs.Stat(path)
	if err != nil {
		return fmt.Errorf("stat %s: %w", path, err)
	}
	if info.Size() != entry.GetSize() {
		return fmt.Errorf("check %s: %w: it has %d B, the manifest says %d B",
			path, messages.ErrDataLoss, info.Size(), entry.GetSize())
	}
	return nil
}
