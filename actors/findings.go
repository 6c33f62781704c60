package actors

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabiondb/gabion/messages"
)

// findings are what is wrong, gathered while a health report is made: all that any face of Gabion grades by. Whatever finds a
// fault for the report notes it here, too. The zero value is ready.
type findings struct {
	// whole are the concerns of the report itself, tables those of each table.
	whole  concerns
	tables map[string]*concerns
}

// of returns the concerns of a table.
func (f *findings) of(table string) *concerns {
	if f.tables == nil {
		f.tables = make(map[string]*concerns)
	}
	c := f.tables[table]
	if c == nil {
		c = &concerns{}
		f.tables[table] = c
	}
	return c
}

// fault notes what could not be found out for the report, and which of its figures are unknown for that. It makes the report yellow
// at least.
func (f *findings) fault(report *messages.HealthReport, err error, unknown ...messages.Figure) {
	failure := messages.FailureOf(err)
	report.Faults = append(report.Faults, failure)
	if text := failure.Error(); !slices.Contains(f.whole.reds, text) {
		f.whole.yellow("%s", text)
	}
	report.Unknown = merged(report.GetUnknown(), unknown)
}

// sum grades the report: by its own concerns, and by those of its tables, which have their grade already.
func (f *findings) sum(report *messages.HealthReport) {
	var of concerns
	gather := func(pick func(*concerns) *[]string) {
		into := pick(&of)
		*into = append(*into, *pick(&f.whole)...)
		var texts []string
		tables := make(map[string][]string)
		for _, row := range report.GetTables() {
			for _, text := range *pick(f.of(row.GetTable())) {
				if tables[text] == nil {
					texts = append(texts, text)
				}
				tables[text] = append(tables[text], row.GetTable())
			}
		}
		for _, text := range texts {
			*into = append(*into, fmt.Sprintf("%s (%s)", text, strings.Join(tables[text], ", ")))
		}
	}
	gather(func(c *concerns) *[]string { return &c.reds })
	gather(func(c *concerns) *[]string { return &c.yellows })
	report.Grade, report.Concerns = of.sum()
}

// concerns are why something is not green. Each says so in words that need no other.
type concerns struct{ reds, yellows []string }

// red notes a danger.
func (c *concerns) red(format string, args ...any) { note(&c.reds, format, args) }

// yellow notes what is overdue, unknown, or otherwise not as it should be.
func (c *concerns) yellow(format string, args ...any) { note(&c.yellows, format, args) }

func note(texts *[]string, format string, args []any) {
	if text := messages.Text(fmt.Sprintf(format, args...)); !slices.Contains(*texts, text) {
		*texts = append(*texts, text)
	}
}

// sum returns the grade, and all concerns, the gravest first.
func (c *concerns) sum() (messages.Grade, []string) {
	all := slices.Concat(c.reds, c.yellows)
	switch {
	case len(c.reds) > 0:
		return messages.Grade_GRADE_RED, all
	case len(c.yellows) > 0:
		return messages.Grade_GRADE_YELLOW, all
	}
	return messages.Grade_GRADE_GREEN, nil
}

// merged returns a list of figures with others added, each once, by number.
func merged(figures, others []messages.Figure) []messages.Figure {
	for _, f := range others {
		if !slices.Contains(figures, f) {
			figures = append(figures, f)
		}
	}
	slices.Sort(figures)
	return figures
}
