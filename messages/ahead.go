package messages

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// Skew is how far ahead of the clock a stored time may be that is still taken as it is: clocks are corrected by that much.
const Skew = time.Minute

// Ahead reports whether a stored time is dated in the future: the clock was wrong when it was stored, or is wrong now. Such a
// time is a fault. It counts as no age, puts nothing off and expires nothing.
func Ahead(t, now time.Time) bool { return t.Sub(now) > Skew }

// AheadOf is Ahead for a time that a message holds. An unset one is not ahead.
func AheadOf(t *timestamppb.Timestamp, now time.Time) bool { return t != nil && Ahead(t.AsTime(), now) }
