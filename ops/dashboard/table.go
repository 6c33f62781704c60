package dashboard

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

const (
	// shownRows is how many rows a page shows, and shownBytes how much of a value.
	shownRows  = 50
	shownBytes = 4 << 10
)

// tablePage shows one table: how it is, its backups, and its rows.
type tablePage struct {
	Row *messages.TableHealth
	// Partial is set where health does not answer, so that the row is not known.
	Partial     bool
	Backups     []*messages.BackupInfo
	BackupFault string
	Browse      browse
	Work        []*messages.Progress
	// Sizes stands where charts without points would be.
	Sizes string
}

// browse is a page of rows.
type browse struct {
	Prefix, After, As string
	Rows              []row
	// Next is the key at which the next page begins, as a person writes it; empty at the end.
	Next  string
	Fault string
}

type row struct {
	Key   string
	Value string
	// Short is how a long value begins; empty for a short one.
	Short string
	// Size is the value's length in bytes; what is shown may be less.
	Size int
	Cut  bool
}

// Table shows the table that the wildcard {table} names.
func (d *Dashboard) Table(w http.ResponseWriter, r *http.Request, v Viewer) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	name := r.PathValue("table")
	if err := messages.CheckTableName(name); err != nil {
		d.problemOf(w, err, v)
		return
	}
	page := tablePage{}
	page.Row, page.Partial = d.rowOf(ctx, name)
	if page.Row == nil {
		d.problemOf(w, messages.Failf(messages.Code_CODE_NOT_FOUND, "no table %q", name).Advise("the overview lists the tables"), v)
		return
	}
	for _, p := range d.gabion.Progress() {
		if p.GetTable() == name {
			page.Work = append(page.Work, p)
		}
	}
	list, err := d.gabion.ListBackups(ctx, name)
	if err != nil {
		page.BackupFault = err.Error()
	}
	for _, f := range list.GetFaults() {
		page.BackupFault = f.Error()
	}
	page.Backups = list.GetBackups()
	page.Browse = d.browse(ctx, name, r)
	page.Sizes, _ = d.chartless(ctx, name)
	d.render(w, http.StatusOK, "table", name, v, page)
}

// rowOf is a table's row of the health, or, partial, what the list of tables says of it while there is no health.
func (d *Dashboard) rowOf(ctx context.Context, name string) (row *messages.TableHealth, partial bool) {
	report, _ := d.latest(ctx)
	for _, row := range report.GetTables() {
		if row.GetTable() == name {
			return row, false
		}
	}
	tables, _ := d.gabion.ListTables(ctx) // beside an error those that it knows
	for _, t := range tables {
		if t.GetTable() == name && !t.GetUnconfigured() {
			return &messages.TableHealth{Table: name, State: t.GetState(), Reason: t.GetReason(), Hint: t.GetHint(),
				Grade: messages.Grade_GRADE_RED, Concerns: []string{"health does not answer: a disk may hang"},
				Unknown: []messages.Figure{messages.Figure_FIGURE_ROWS, messages.Figure_FIGURE_DISK, messages.Figure_FIGURE_BACKUPS,
					messages.Figure_FIGURE_LAST_BACKUP, messages.Figure_FIGURE_LAST_PROOF}}, true
		}
	}
	return nil, false
}

// browse reads the rows that the query asks for: ?prefix=, ?after= and ?as=.
func (d *Dashboard) browse(ctx context.Context, name string, r *http.Request) browse {
	query := r.URL.Query()
	b := browse{Prefix: query.Get("prefix"), After: query.Get("after"), As: query.Get("as")}
	if b.As != "json" && b.As != "hex" {
		b.As = "text"
	}
	scan := &messages.Scan{Limit: shownRows}
	var err error
	if scan.Prefix, err = show.ParseKey(b.Prefix); err == nil {
		scan.Start, err = show.ParseKey(b.After)
	}
	if err != nil {
		b.Fault = err.Error()
		return b
	}
	page, err := d.gabion.Table(name).Scan(ctx, scan)
	if err != nil {
		b.Fault = err.Error()
		return b
	}
	for _, e := range page.GetEntries() {
		value, cut := shownValue(e.GetValue(), b.As)
		b.Rows = append(b.Rows, row{Key: show.Key(e.GetKey()), Value: value, Short: beginning(value), Size: len(e.GetValue()), Cut: cut})
	}
	if next := page.GetNext(); len(next) > 0 {
		b.Next = show.Key(next)
	}
	return b
}

// shortText is how many characters of a value a row shows at first.
const shortText = 120

// beginning is how a text begins that is longer than a row shows, or has several lines.
func beginning(text string) string {
	if strings.Contains(text, "\n") {
		text = strings.Join(strings.Fields(text), " ")
	} else if utf8.RuneCountInString(text) <= shortText {
		return ""
	}
	runes := []rune(text)
	return string(runes[:min(len(runes), shortText)])
}

// mostIndented bounds what indenting a value may make of it, in bytes: its spaces grow with the square of what is nested.
const mostIndented = 1 << 20

// shownValue is a value as text, as indented JSON where it is any, or as a dump in hex; cut says that it is longer.
func shownValue(value []byte, as string) (text string, cut bool) {
	if as == "json" && len(value)*2*depth(value) <= mostIndented {
		var b bytes.Buffer
		if json.Indent(&b, value, "", "  ") == nil {
			shown, cut := head(b.Bytes())
			return string(shown), cut
		}
	}
	if as == "hex" {
		cut = len(value) > shownBytes
		return hex.Dump(value[:min(len(value), shownBytes)]), cut
	}
	value, cut = head(value)
	return show.Printable(string(value)), cut
}

// depth is how deep the brackets of JSON nest, at most; of what is none it says nothing, and json.Indent refuses it.
func depth(value []byte) (most int) {
	now, inString, escaped := 0, false, false
	for _, b := range value {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = b == '\\', b != '"'
		case b == '"':
			inString = true
		case b == '[' || b == '{':
			now++
			most = max(most, now)
		case b == ']' || b == '}':
			now--
		}
	}
	return most
}

// head is what is shown of a text. It does not end within a character.
func head(text []byte) (shown []byte, cut bool) {
	if len(text) <= shownBytes {
		return text, false
	}
	end := shownBytes
	for end > shownBytes-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end], true
}
