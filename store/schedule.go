package store

import (
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

const scheduleFile = "schedule.json"

// ReadSchedule returns what WriteSchedule wrote last, nil where there is none. The file is a cache: whatever
// the error, a caller can go on without it.
func (d *Directory) ReadSchedule() (*messages.ScheduleState, error) {
	var m messages.ScheduleState
	if found, err := d.readState(scheduleFile, &m); !found {
		return nil, err
	}
	return &m, nil
}

// WriteSchedule durably replaces the schedule's state: a crash leaves the old one or the new one. One call at
// a time.
func (d *Directory) WriteSchedule(state *messages.ScheduleState) error {
	state = proto.CloneOf(state)
	state.FormatVersion = FormatVersion
	return d.writeState(scheduleFile, state)
}
