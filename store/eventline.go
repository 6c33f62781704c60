package store

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

const (
	eventSuffix = ".jsonl"
	// eventDigits let the names sort as their numbers do.
	eventDigits = 20
)

func eventFileName(first uint64) string {
	return fmt.Sprintf("%0*d%s", eventDigits, first, eventSuffix)
}

// eventFile returns the number of a file's first event, false for a name that is none of ours.
func eventFile(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, eventSuffix)
	if !ok || len(digits) != eventDigits {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

// eventLine returns an event as a line of at most most bytes. Of one that is too long lists are left out, in the
// order of their fields, and the whole event if that is not enough.
func eventLine(event *messages.LoggedEvent, most int) ([]byte, error) {
	line, err := marshalEvent(event)
	if err != nil || len(line) <= most {
		return line, err
	}
	event = proto.CloneOf(event)
	event.Abridged = true
	m := event.Message().ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		if !field.IsList() || m.Get(field).List().Len() == 0 {
			continue
		}
		m.Clear(field)
		if line, err := marshalEvent(event); err != nil || len(line) <= most {
			return line, err
		}
	}
	event.Event = nil
	return marshalEvent(event)
}

func marshalEvent(event *messages.LoggedEvent) ([]byte, error) {
	data, err := protojson.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("marshal event: %w", err)
	}
	return append(data, '\n'), nil
}

// parseEvent parses a line, false for what is none of ours. An event of a newer version has its number and time, at least.
func parseEvent(line []byte) (*messages.LoggedEvent, bool) {
	e := new(messages.LoggedEvent)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, e); err != nil {
		return nil, false
	}
	return e, e.GetSeq() > 0 && e.GetTime().IsValid()
}

// eventLines yields the lines that are not blank, and whether each is ended.
func eventLines(data []byte) iter.Seq2[[]byte, bool] {
	return func(yield func([]byte, bool) bool) {
		for line := range bytes.Lines(data) {
			whole := line[len(line)-1] == '\n'
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(line, whole) {
				return
			}
		}
	}
}

// lastEvent returns the highest number that a file's events may have had. A file is named before its first event is
// written.
func lastEvent(first uint64, data []byte) uint64 {
	for len(data) > 0 {
		begin := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
		if e, ok := parseEvent(data[begin:]); ok {
			return max(first, e.GetSeq())
		}
		data = data[:begin]
	}
	return first
}

// mendEvents returns what to write at which offset so that data ends with a line's end, nothing where it does.
func mendEvents(data []byte) (at int, repair []byte) {
	end := bytes.LastIndexByte(data, '\n') + 1
	torn := data[end:]
	if len(torn) == 0 {
		return len(data), nil
	}
	if _, whole := parseEvent(torn); whole {
		return len(data), []byte{'\n'}
	}
	repair = bytes.Repeat([]byte{' '}, len(torn))
	repair[len(torn)-1] = '\n'
	return end, repair
}
