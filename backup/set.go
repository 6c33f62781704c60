package backup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// BACKUPDIR/sets/RUNID.json is one set.
const (
	setsDir   = "sets"
	setSuffix = ".json"
)

// Sets returns what the runs produced, newest first by run id. One that cannot be read, or is of a
// newer format, is left out with a warning in the log: the backups themselves do not depend on it.
func (d *Directory) Sets() ([]*messages.BackupSet, error) {
	sets, unread, err := d.ReadSets()
	for _, set := range unread {
		d.log.Warn("skip set", "run_id", set.RunID, "error", set.Err)
	}
	return sets, err
}

// UnreadSet is a set that cannot be read, or that has a newer format, and why.
type UnreadSet struct {
	RunID string
	// Err has a hint.
	Err error
}

// ReadSets is Sets that returns what it leaves out, newest first, and logs nothing.
func (d *Directory) ReadSets() (sets []*messages.BackupSet, unread []UnreadSet, err error) {
	dir := d.fs.PathJoin(d.path, setsDir)
	names, err := d.listOwn(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("list sets: %w", err)
	}
	slices.Reverse(names) // ULIDs sort as strings
	for _, name := range names {
		runID, ok := strings.CutSuffix(name, setSuffix)
		if !ok {
			continue
		}
		set, err := d.readSet(runID)
		if errors.Is(err, os.ErrNotExist) {
			continue // retention was faster
		}
		if err != nil {
			unread = append(unread, UnreadSet{runID, messages.WithHint(fmt.Errorf("read set %s: %w", runID, err),
				"the backups do not depend on it: if it stays unreadable, remove "+d.setPath(runID))})
			continue
		}
		sets = append(sets, set)
	}
	return sets, unread, nil
}

// NewestRun returns the highest run id that has a set, "" without one.
func (d *Directory) NewestRun() (string, error) {
	names, err := d.listOwn(d.fs.PathJoin(d.path, setsDir))
	if err != nil {
		return "", fmt.Errorf("list sets: %w", err)
	}
	for _, name := range slices.Backward(names) {
		runID, _ := strings.CutSuffix(name, setSuffix)
		if _, err := ulid.ParseStrict(runID); err == nil {
			return runID, nil
		}
	}
	return "", nil
}

func (d *Directory) readSet(runID string) (*messages.BackupSet, error) {
	data, err := disk.ReadFile(d.fs, d.setPath(runID), setLimit)
	if err != nil {
		return nil, err
	}
	var set messages.BackupSet
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("parse set: %w", err)
	}
	if set.GetFormatVersion() > store.FormatVersion {
		return nil, fmt.Errorf("check set: %w: %d", store.ErrNewer, set.GetFormatVersion())
	}
	if set.GetRunId() != runID {
		return nil, fmt.Errorf("check set: it is of run %q", set.GetRunId())
	}
	return &set, nil
}

// WriteSet durably writes what a run produced. Its run id must be a ULID (messages.ErrInvalid) that
// has no set yet (os.ErrExist). Format version and store id are written as this directory's, whatever
// set says. A crash leaves no set, or the whole set.
func (d *Directory) WriteSet(set *messages.BackupSet) error {
	if err := d.writeSet(set); err != nil {
		return fmt.Errorf("write set %q: %w", set.GetRunId(), err)
	}
	return nil
}

func (d *Directory) writeSet(set *messages.BackupSet) error {
	if _, err := ulid.ParseStrict(set.GetRunId()); err != nil {
		return fmt.Errorf("parse run id: %w: %w", messages.ErrInvalid, err)
	}
	if err := d.begin(); err != nil {
		return err
	}
	defer d.end()
	if err := d.standing().refused; err != nil {
		return err
	}
	d.sets.Lock()
	defer d.sets.Unlock()
	path := d.setPath(set.GetRunId())
	exists, err := store.Exists(d.fs, path)
	if err != nil {
		return err
	}
	if exists {
		return os.ErrExist
	}
	stamped := proto.CloneOf(set)
	stamped.FormatVersion = store.FormatVersion
	stamped.StoreId = d.storeID
	data, err := protojson.MarshalOptions{Multiline: true}.Marshal(stamped)
	if err != nil {
		return fmt.Errorf("marshal set: %w", err)
	}
	if len(data) > setLimit {
		return fmt.Errorf("it would have %d B, maximum is %d B: %w", len(data), setLimit, messages.ErrExhausted)
	}
	if err := d.mkdir(d.fs.PathDir(path)); err != nil {
		return err
	}
	return store.WriteDurably(d.fs, path, data)
}

func (d *Directory) setPath(runID string) string {
	return d.fs.PathJoin(d.path, setsDir, runID+setSuffix)
}
