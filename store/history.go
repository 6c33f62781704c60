package store

import (
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

const historyFile = "history.json"

// ReadHistory returns what WriteHistory wrote last, nil where there is none. The file is a cache: whatever the error, a
// caller can go on without it, but must not replace one of a newer format (ErrNewer).
func (d *Directory) ReadHistory() (*messages.History, error) {
	var m messages.History
	if found, err := d.readState(historyFile, &m); !found {
		return nil, err
	}
	return &m, nil
}

// WriteHistory durably replaces the history: a crash leaves the old one or the new one. One call at a time.
func (d *Directory) WriteHistory(history *messages.History) error {
	history = proto.CloneOf(history)
	history.FormatVersion = FormatVersion
	return d.writeState(historyFile, history)
}
