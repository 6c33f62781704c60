package backup

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// lastRunFile in BACKUPDIR says which run used it last.
const lastRunFile = "last_run.json"

// LastRunAt returns what the backup directory at path says of its last run; nil where it says nothing. It takes no lock and
// changes nothing.
func LastRunAt(fs vfs.FS, path string) (*messages.LastRun, error) {
	return readLastRun(disk.Within(fs, path, nil), path)
}

func readLastRun(fs vfs.FS, dir string) (*messages.LastRun, error) {
	path := fs.PathJoin(dir, lastRunFile)
	data, err := disk.ReadFile(fs, path, lastRunLimit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var last messages.LastRun
	// Fields of a newer format must not hide its version number.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &last); err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w", path, messages.ErrDataLoss, err)
	}
	switch {
	case last.GetFormatVersion() > store.FormatVersion:
		return nil, messages.WithHint(fmt.Errorf("check %s: %w: %d, this version knows %d", path, store.ErrNewer,
			last.GetFormatVersion(), store.FormatVersion), newerHint)
	case last.GetDirectoryId() == "" || last.GetToken() == "":
		return nil, fmt.Errorf("check %s: %w: it has no id or no token", path, messages.ErrDataLoss)
	}
	return &last, nil
}

// writeLastRun durably replaces the file: a crash leaves the old one or the new one.
func writeLastRun(fs vfs.FS, dir string, last *messages.LastRun) error {
	data, err := protojson.MarshalOptions{Multiline: true}.Marshal(last)
	if err != nil {
		return fmt.Errorf("marshal %s: %w", lastRunFile, err)
	}
	return store.WriteDurably(fs, fs.PathJoin(dir, lastRunFile), data)
}
