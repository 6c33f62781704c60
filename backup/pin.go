package backup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// BACKUPDIR/NAME/pins/ID.json pins one backup.
const (
	pinsDir   = "pins"
	pinSuffix = ".json"
)

// Pin has retention keep a backup until its pin is removed, and returns once that is durable. reason is for people, up
// to messages.MaxLabel bytes of UTF-8. A backup that is pinned already keeps its pin. One that is not there gets an
// error that matches messages.ErrNotFound.
func (d *Directory) Pin(table, id, reason string) error {
	if err := d.pin(table, id, reason); err != nil {
		return fmt.Errorf("pin backup %s of table %q: %w", id, table, err)
	}
	return nil
}

func (d *Directory) pin(name, id, reason string) error {
	if err := d.startPin(name, id); err != nil {
		return err
	}
	defer d.endPin(name)
	if err := d.hasBackup(name, id); err != nil {
		return err
	}
	path := d.pinPath(name, id)
	if exists, err := store.Exists(d.fs, path); err != nil {
		return err
	} else if exists {
		// Who wrote it may have met an error before its name was durable.
		return errors.Join(store.SyncDir(d.fs, d.fs.PathDir(path)), store.SyncDir(d.fs, d.fs.PathJoin(d.path, name)))
	}
	data, err := protojson.Marshal(&messages.Pin{
		FormatVersion: store.FormatVersion, Table: name, BackupId: id, Reason: reason, Since: timestamppb.Now()})
	if err != nil {
		return fmt.Errorf("marshal pin: %w", err)
	}
	if err := d.mkdir(d.fs.PathDir(path)); err != nil {
		return err
	}
	return store.WriteDurably(d.fs, path, data)
}

// Unpin removes a backup's pin, and returns once that is durable: after a crash before, the pin may be there again. A
// backup without a pin stays without; one that is not there gets an error that matches messages.ErrNotFound.
func (d *Directory) Unpin(table, id string) error {
	if err := d.unpin(table, id); err != nil {
		return fmt.Errorf("unpin backup %s of table %q: %w", id, table, err)
	}
	return nil
}

func (d *Directory) unpin(name, id string) error {
	if err := d.startPin(name, id); err != nil {
		return err
	}
	defer d.endPin(name)
	if err := d.hasBackup(name, id); err != nil {
		return err
	}
	path := d.pinPath(name, id)
	if err := d.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove pin: %w", err)
	}
	// Also where there is none: who removed it may have met an error before that was durable.
	dir := d.fs.PathDir(path)
	if exists, err := store.Exists(d.fs, dir); err != nil || !exists {
		return err
	}
	return store.SyncDir(d.fs, dir)
}

// startPin admits a change of one backup's pin. endPin must follow. A Retain either sees the change, or has hidden the
// backup before it is looked for.
func (d *Directory) startPin(name, id string) error {
	if err := messages.CheckTableName(name); err != nil {
		return err
	}
	if _, ok := parseID(id); !ok {
		return fmt.Errorf("%q names no backup: %w", id, messages.ErrInvalid)
	}
	if err := d.begin(); err != nil {
		return err
	}
	d.table(name).turn <- struct{}{}
	return nil
}

func (d *Directory) endPin(name string) {
	<-d.table(name).turn
	d.end()
}

// hasBackup returns messages.ErrNotFound unless the backup is there.
func (d *Directory) hasBackup(name, id string) error {
	exists, err := store.Exists(d.fs, d.fs.PathJoin(d.path, name, id))
	if err != nil {
		return err
	}
	if !exists {
		return messages.ErrNotFound
	}
	return nil
}

func (d *Directory) pinPath(table, id string) string {
	return d.fs.PathJoin(d.path, table, pinsDir, id+pinSuffix)
}

// pins returns why each of a table's pinned backups is pinned, by id. A pin that cannot be read pins all the same.
func (d *Directory) pins(table string) (map[string]string, error) {
	names, err := list(d.fs, d.fs.PathJoin(d.path, table, pinsDir))
	if err != nil {
		return nil, err
	}
	pins := make(map[string]string, len(names))
	for _, name := range names {
		id, ok := strings.CutSuffix(name, pinSuffix)
		if _, isID := parseID(id); !ok || !isID {
			continue
		}
		pins[id] = d.pinReason(table, id)
	}
	return pins, nil
}

func (d *Directory) pinReason(table, id string) string {
	data, err := disk.ReadFile(d.fs, d.pinPath(table, id), pinLimit)
	var pin messages.Pin
	if err == nil {
		err = (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &pin)
	}
	if err == nil && pin.GetReason() == "" {
		err = errors.New("no reason given")
	}
	if err != nil {
		return err.Error()
	}
	return pin.GetReason()
}
