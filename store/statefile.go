package store

import (
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// state is what a file of DIR holds as a whole, as JSON.
type state interface {
	proto.Message
	// GetFormatVersion is that of the format in which the file was written.
	GetFormatVersion() uint32
}

// readState reads the file name of DIR into m. It returns false where there is no such file.
func (d *Directory) readState(name string, m state) (bool, error) {
	return d.readStateOf(name, m, stateLimit)
}

// readStateOf is readState of a file that may have limit bytes.
func (d *Directory) readStateOf(name string, m state, limit int64) (bool, error) {
	path := d.fs.PathJoin(d.path, name)
	data, err := disk.ReadFile(d.fs, path, limit)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
		return false, fmt.Errorf("parse %s: %w: %w", path, err, messages.ErrDataLoss)
	}
	if m.GetFormatVersion() == 0 {
		return false, fmt.Errorf("check %s: it has no format version: %w", path, messages.ErrDataLoss)
	}
	if m.GetFormatVersion() != FormatVersion {
		return false, fmt.Errorf("%s: format version is %d, this version knows %d: %w",
			path, m.GetFormatVersion(), FormatVersion, ErrNewer)
	}
	return true, nil
}

// writeState durably replaces the file name of DIR: a crash leaves the old one or the new one.
func (d *Directory) writeState(name string, m state) error {
	return d.writeStateOf(name, m, stateLimit)
}

// writeStateOf is writeState of a file that may have limit bytes.
func (d *Directory) writeStateOf(name string, m state, limit int) error {
	if d.readOnly {
		return fmt.Errorf("write %s: directory is open for reading only: %w", name, messages.ErrInvalid)
	}
	if err := d.Check(); err != nil {
		return err
	}
	data, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Errorf("marshal %s: %w", name, err)
	}
	if len(data) > limit {
		return fmt.Errorf("write %s: it would have %d B, maximum is %d B: %w", name, len(data), limit, messages.ErrExhausted)
	}
	return WriteDurably(d.fs, d.fs.PathJoin(d.path, name), data)
}
