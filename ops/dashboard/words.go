package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

// words are the functions of the templates.
var words = template.FuncMap{
	"size":    func(n any) string { return show.Size(wide(n)) },
	"count":   count,
	"age":     func(t *timestamppb.Timestamp) string { return show.Past(time.Now(), t) },
	"ahead":   func(t *timestamppb.Timestamp) bool { return messages.AheadOf(t, time.Now()) },
	"knows":   knows,
	"iso":     func(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.RFC3339) },
	"took":    took,
	"state":   show.State,
	"outcome": show.Outcome,
	"loss":    show.Loss,
	"lineage": show.ShortLineage,
	"grade":   grade,
	"percent": func(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) },
	"verdict": func(v messages.Verdict) string { return lower("VERDICT_", v.String()) },
	"join":    func(texts []string) string { return strings.Join(texts, "; ") },
	"plural":  show.Plural,
	"key":     show.Key,
	"part":    part,
}

// knows tells whether a table's row, or a backup, could find out the figure of a name, such as ROWS.
func knows(of interface{ Knows(messages.Figure) bool }, figure string) (bool, error) {
	number, ok := messages.Figure_value["FIGURE_"+figure]
	if !ok {
		return false, fmt.Errorf("no figure %q", figure)
	}
	return of.Knows(messages.Figure(number)), nil
}

// wide is an integer of any kind as an int64.
func wide(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	case uint64:
		return int64(n)
	}
	return 0
}

// count is a number with its thousands apart.
func count(n any) string {
	var text string
	switch n := n.(type) {
	case uint32:
		text = fmt.Sprint(n)
	case uint64:
		text = fmt.Sprint(n)
	default:
		text = fmt.Sprint(wide(n))
	}
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// took is how long it was from one time to another.
func took(from, to *timestamppb.Timestamp) string {
	d := max(0, to.AsTime().Sub(from.AsTime()))
	if d < time.Minute {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return show.Duration(d)
}

func grade(g messages.Grade) string { return lower("GRADE_", g.String()) }

func lower(prefix, name string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

// part is the share of a whole, of 100.
func part(of, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return min(100, 100*of/whole)
}

func etag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}
