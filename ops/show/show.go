// Package show puts figures, times and names into words for people, the same in the command and on the dashboard.
package show

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
)

// Size is a number of bytes for people: 0 B, 1023 B, 1.5 KiB.
func Size[N int64 | uint64](n N) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	// 1023.95 KiB would be printed as 1024.0 KiB.
	for value >= 1023.95 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// Unknown stands where a figure could not be found out. None, never and 0 are figures.
const Unknown = "unknown"

// Known is text, or Unknown.
func Known(known bool, text string) string {
	if !known {
		return Unknown
	}
	return text
}

// Past is the Age of what has happened. What is dated in the future has no age: the clock was wrong then, or is wrong now.
func Past(now time.Time, t *timestamppb.Timestamp) string {
	switch {
	case messages.AheadOf(t, now):
		return "dated in the future, " + t.AsTime().UTC().Format(time.DateOnly)
	case t != nil && t.AsTime().After(now):
		return "0s ago"
	}
	return Age(now, t)
}

// Age is how long before now t was, in its largest unit: 5s ago, 3h ago. An unset t is "never", one to come is "in 5s".
func Age(now time.Time, t *timestamppb.Timestamp) string {
	if t == nil {
		return "never"
	}
	d := now.Sub(t.AsTime())
	if d < 0 {
		return "in " + Duration(-d)
	}
	return Duration(d) + " ago"
}

// Duration is d in its largest unit, cut off.
func Duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// Plural is n and its noun: 1 row, 2 rows.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Grade is a grade as people read it: green, yellow, red. What has none is unknown.
func Grade(g messages.Grade) string {
	if g == messages.Grade_GRADE_UNSPECIFIED {
		return Unknown
	}
	return strings.ToLower(strings.TrimPrefix(g.String(), "GRADE_"))
}

// Concerns are the first few of what speaks against something, in one line.
func Concerns(all []string) string {
	const most = 4
	if len(all) > most {
		return strings.Join(all[:most], "; ") + fmt.Sprintf("; and %d more", len(all)-most)
	}
	return strings.Join(all, "; ")
}

// State is a state as people read it: open, quarantined.
func State(s messages.TableState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "TABLE_STATE_"))
}

// Outcome is an outcome as people read it: backed up, carried forward, failed.
func Outcome(o messages.Outcome) string {
	name := strings.ToLower(strings.TrimPrefix(o.String(), "OUTCOME_"))
	return strings.ReplaceAll(name, "_", " ")
}

// ShortLineage is the random end of a lineage: tables made together begin alike.
func ShortLineage(lineage string) string {
	const keep = 8
	if len(lineage) <= keep {
		return lineage
	}
	return ".." + lineage[len(lineage)-keep:]
}

// Printable is s as it is where a terminal can show it, and quoted as in Go otherwise. What begins with a quote
// is quoted too, so that the two can be told apart.
func Printable(s string) string {
	if Graphic(s) && !strings.HasPrefix(s, `"`) {
		return s
	}
	return strconv.QuoteToGraphic(s)
}

// Graphic reports whether a terminal can show s.
func Graphic(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0
}

// Loss is what a table lost, and when.
func Loss(l *messages.Loss) string {
	text := "lost "
	switch {
	case l.GetToSeq() > 0:
		text += fmt.Sprintf("the operations with seq %d to %d", l.GetFromSeq(), l.GetToSeq())
	case l.GetRowsMissing() > 0:
		text += Plural(int(l.GetRowsMissing()), "row")
	default:
		text += "rows; how many is not known"
	}
	return text + fmt.Sprintf(" at %s (loss %s)", l.GetAt().AsTime().Format(time.RFC3339), l.GetId())
}
