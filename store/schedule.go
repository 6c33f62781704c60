package store

import (
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

const scheduleFile = "schedule.json"

// ReadSchedule returns what WriteSchedule wrote last, nil where there is none. The file is a cache: whatever
// the error, a caller can go on without it.
func (d *Directory) ReadSchedule() (*messages.ScheduleState, error) {
	path := d.fs.PathJoin(d.path, scheduleFile)
	data, err := ReadFile(d.fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var state messages.ScheduleState
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &state); err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w", path, err, messages.ErrDataLoss)
	}
	if state.GetFormatVersion() != FormatVersion {
		return nil, fmt.Errorf("%s: format version is %d, this version knows %d: %w",
			path, state.GetFormatVersion(), FormatVersion, ErrNewer)
	}
	return &state, nil
}

// WriteSchedule durably replaces the schedule's state: a crash leaves the old one or the new one. One call at
// a time.
func (d *Directory) WriteSchedule(state *messages.ScheduleState) error {
	if d.readOnly {
		return fmt.Errorf("write %s: directory is open for reading only: %w", scheduleFile, messages.ErrInvalid)
	}
	state = proto.CloneOf(state)
	state.FormatVersion = FormatVersion
	data, err := protojson.Marshal(state)
	if err != nil {
		return fmt.Errorf("marshal %s: %w", scheduleFile, err)
	}
	return WriteDurably(d.fs, d.fs.PathJoin(d.path, scheduleFile), data)
}
