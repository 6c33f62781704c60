package backup

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Backup is one complete backup of one table.
type Backup struct {
	Table string
	// ID is the directory's name, NUMBER_TIME.
	ID string
	// Number orders a table's backups. The time does not.
	Number uint64
	// Path is the backup's directory.
	Path string
	// Manifest is nil when it could not be read or parsed. With a Fault it must not be trusted.
	Manifest *messages.Manifest
	// ManifestSHA256 is the hash of the manifest's bytes as they lie on disk, lower-case hex; empty when
	// they could not be read.
	ManifestSHA256 string
	// Fault says why the backup must not be used: its manifest is unreadable, does not match its
	// hash or its place, or is of a newer format (store.ErrNewer). Nil says nothing about the
	// other files; only a proof does.
	Fault error
	// OtherCopy is set when another copy of DIR made the backup, or it cannot be told that none did: its position is no word
	// on this copy's rows. Only who names it means it.
	OtherCopy bool
	// Pinned says why retention must keep the backup, "" when it has no pin.
	Pinned string
	// Proof is the last one of a verify, nil when there is none.
	Proof *messages.Proof
	// Red is set when the last verify found the backup not to be what its manifest says, and while the proofs cannot be
	// read, which then may say so.
	Red bool
}

// usable tells whether anything is known against the backup.
func (b Backup) usable() bool { return b.Fault == nil && !b.Red }

// Content returns what the manifest says that the backup holds; of no position without a manifest.
func (b Backup) Content() store.Content {
	return store.Content{Record: b.Manifest.GetRecord(), SSTables: b.Manifest.GetSstables()}
}

// ahead tells whether the manifest says that the backup was made in the future.
func (b Backup) ahead(now time.Time) bool {
	return messages.AheadOf(b.Manifest.GetStarted(), now) || messages.AheadOf(b.Manifest.GetFinished(), now)
}

// Lineage returns the lineage the manifest names, "" without a manifest.
func (b Backup) Lineage() string { return b.Manifest.GetRecord().GetPosition().GetLineage() }

// Tables returns the names of the tables that have at least one complete backup, sorted.
func (d *Directory) Tables() ([]string, error) {
	dirs, err := d.tableDirs()
	if err != nil {
		return nil, fmt.Errorf("list tables of backups: %w", err)
	}
	var tables []string
	for _, table := range dirs {
		ids, err := d.ids(table)
		if err != nil {
			return nil, fmt.Errorf("list tables of backups: %w", err)
		}
		if len(ids) > 0 {
			tables = append(tables, table)
		}
	}
	return tables, nil
}

// Has tells whether a table has a complete backup, sound or not. It reads no manifest.
func (d *Directory) Has(table string) (bool, error) {
	ids, err := d.ids(table)
	if err != nil {
		return false, fmt.Errorf("list backups of table %q: %w", table, err)
	}
	return len(ids) > 0, nil
}

// List returns a table's complete backups, highest number first; none for a table that has none. One
// that must not be used is listed with its Fault, never dropped, and is no error of the list.
func (d *Directory) List(table string) ([]Backup, error) {
	ids, err := d.ids(table)
	if err != nil {
		return nil, fmt.Errorf("list backups of table %q: %w", table, err)
	}
	pins, err := d.pins(table)
	if err != nil {
		return nil, fmt.Errorf("list backups of table %q: %w", table, err)
	}
	backups := make([]Backup, len(ids))
	for i, id := range ids {
		backups[i] = d.read(table, id)
		backups[i].Pinned = pins[id]
	}
	return backups, nil
}

// Find returns a table's complete backup by its id, or by its number alone; messages.ErrNotFound when there is none, with
// a hint that names the newest one there is. A number that several backups have is an error.
func (d *Directory) Find(table, id string) (Backup, error) {
	backups, err := d.List(table)
	if err != nil {
		return Backup{}, err
	}
	var found []Backup
	for _, b := range backups {
		if b.ID == id {
			return b, nil
		}
		if number, err := strconv.ParseUint(id, 10, 64); err == nil && number == b.Number {
			found = append(found, b)
		}
	}
	hint := "the table has no backup"
	if len(backups) > 0 {
		hint = "the newest backup of the table is " + backups[0].ID
	}
	switch len(found) {
	case 0:
		return Backup{}, messages.WithHint(fmt.Errorf("backup %q of table %q: %w", id, table, messages.ErrNotFound), hint)
	case 1:
		return found[0], nil
	}
	return Backup{}, messages.WithHint(fmt.Errorf("backup %q of table %q: %d backups have this number: %w",
		id, table, len(found), messages.ErrInvalid), "give its whole name, such as "+found[0].ID)
}

// Newest returns the newest backup without Fault that this copy of DIR made of one lineage; false when there is none. It may
// be red: a red backup still tells how far the lineage had come. Where it cannot be told who made them, that is an error.
func (d *Directory) Newest(table, lineage string) (Backup, bool, error) {
	if s := d.standing(); s.unknown {
		return Backup{}, false, s.refused
	}
	return d.newest(table, func(b Backup) bool { return b.Fault == nil && !b.OtherCopy && b.Lineage() == lineage })
}

// NewestUsable returns the newest backup of a table that this copy of DIR made and that is neither faulty nor red, of
// whatever lineage; false when there is none.
func (d *Directory) NewestUsable(table string) (Backup, bool, error) {
	return d.newest(table, func(b Backup) bool { return b.usable() && !b.OtherCopy })
}

// newest returns the newest backup that matches, reading no more manifests than it takes.
func (d *Directory) newest(table string, match func(Backup) bool) (Backup, bool, error) {
	ids, err := d.ids(table)
	if err != nil {
		return Backup{}, false, fmt.Errorf("find newest backup of table %q: %w", table, err)
	}
	for _, id := range ids {
		if b := d.read(table, id); match(b) {
			return b, true, nil
		}
	}
	return Backup{}, false, nil
}

// ids returns the names of a table's complete backups, highest number first.
func (d *Directory) ids(table string) ([]string, error) {
	if err := messages.CheckTableName(table); err != nil {
		return nil, err
	}
	names, err := d.listOwn(d.fs.PathJoin(d.path, table))
	if err != nil {
		return nil, err
	}
	ids := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, ok := parseID(name)
		if !ok {
			return true
		}
		// It is being removed where its directory cannot be renamed.
		_, disowned := slices.BinarySearch(names, removingPrefix+name)
		return disowned
	})
	slices.SortFunc(ids, func(a, b string) int {
		x, _ := parseID(a)
		y, _ := parseID(b)
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(b, a))
	})
	return ids, nil
}

// read reads what one backup says of itself.
func (d *Directory) read(table, id string) Backup {
	number, _ := parseID(id)
	b := Backup{Table: table, ID: id, Number: number, Path: d.fs.PathJoin(d.path, table, id)}
	b.Manifest, b.ManifestSHA256, b.Fault = readManifest(d.fs, b.Path)
	if b.Fault == nil {
		b.Fault = b.misplaced()
	}
	proof, err := d.proof(b)
	if err != nil {
		d.log.Warn("proofs cannot be read: backup counts as red", "table", table, "backup_id", id, "error", err)
	}
	b.OtherCopy = !d.standing().owns(b)
	b.Proof, b.Red = proof, err != nil || proof.GetVerdict() == messages.Verdict_VERDICT_RED
	return b
}

// misplaced returns an error when the manifest is another backup's: a directory that was copied or
// renamed by hand must not become another table's newest.
func (b Backup) misplaced() error {
	m := b.Manifest
	switch {
	case m.GetTable() != b.Table:
		return fmt.Errorf("check manifest: %w: it is of table %q", messages.ErrDataLoss, m.GetTable())
	case m.GetNumber() != b.Number:
		return fmt.Errorf("check manifest: %w: it is of number %d", messages.ErrDataLoss, m.GetNumber())
	case m.GetStarted() != nil && makeID(b.Number, m.GetStarted().AsTime()) != b.ID:
		return fmt.Errorf("check manifest: %w: it is of backup %s", messages.ErrDataLoss, makeID(b.Number, m.GetStarted().AsTime()))
	case b.Lineage() == "":
		return fmt.Errorf("check manifest: %w: it has no lineage", messages.ErrDataLoss)
	}
	return nil
}
