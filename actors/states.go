package actors

import (
	"strings"

	"github.com/gabiondb/gabion/messages"
)

// stateName is the state as people read it: open, quarantined, ...
func stateName(s messages.TableState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "TABLE_STATE_"))
}

// joinHints is what to do about an error, in one line.
func joinHints(err error) string { return strings.Join(messages.Hints(err), "; ") }
