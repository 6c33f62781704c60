package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

// fault is one error, and what can be done about it.
type fault struct {
	Error string   `json:"error"`
	Hints []string `json:"hints"`
}

// complaint is an error as --json prints it on stderr.
type complaint struct {
	fault
	// Code is usage, partial, not_found or busy, as the exit codes are, or the code of the failure in lower case: unavailable.
	Code     string `json:"code"`
	ExitCode int    `json:"exit_code"`
	// OutcomeUnknown: a write may have been carried out.
	OutcomeUnknown bool `json:"outcome_unknown,omitempty"`
	// Faults are each of several errors; left out where there is one.
	Faults []fault `json:"faults,omitempty"`
}

// complain writes an error and its hints, as lines or as one JSON object.
func complain(stderr io.Writer, asJSON bool, err error) {
	var logged loggedError
	if err == nil || isClosedPipe(err) || errors.As(err, &logged) {
		return
	}
	told, left := tell(err)
	if asJSON {
		_ = printJSON(stderr, newComplaint(err, told, left)) // where stderr is broken there is nobody to complain to
		return
	}
	for _, f := range told {
		for line := range strings.Lines(f.Error) {
			fmt.Fprintf(stderr, "gabion: %s\n", show.Printable(strings.TrimSpace(line)))
		}
		for _, hint := range f.Hints {
			fmt.Fprintf(stderr, "hint: %s\n", show.Printable(hint))
		}
	}
	for _, hint := range left {
		fmt.Fprintf(stderr, "hint: %s\n", show.Printable(hint))
	}
}

// tell returns each fault of err, and the hints that belong to all of them. No hint stands twice.
func tell(err error) (told []fault, left []string) {
	var hinted []string
	fresh := func(err error) []string {
		hints := []string{}
		for _, hint := range messages.Hints(err) {
			if !slices.Contains(hinted, hint) {
				hinted, hints = append(hinted, hint), append(hints, hint)
			}
		}
		return hints
	}
	for _, e := range faults(err) {
		if errors.Is(e, errNoReader) {
			continue
		}
		text := e.Error()
		switch {
		case errors.Is(e, context.Canceled) && errors.Is(e, messages.ErrOutcomeUnknown):
			text = "interrupted; the write may have been carried out"
		case errors.Is(e, context.Canceled):
			text = "interrupted"
		}
		told = append(told, fault{text, fresh(e)})
	}
	return told, fresh(err)
}

func newComplaint(err error, told []fault, left []string) complaint {
	c := complaint{Code: codeOf(err), ExitCode: exitCode(err), OutcomeUnknown: errors.Is(err, messages.ErrOutcomeUnknown)}
	c.Hints = []string{}
	var texts []string
	for _, f := range told {
		texts = append(texts, f.Error)
		c.Hints = append(c.Hints, f.Hints...)
	}
	c.Error, c.Hints = strings.Join(texts, "; "), append(c.Hints, left...)
	if len(told) > 1 {
		c.Faults = told
	}
	return c
}

// codeOf is the code of an error, for programs.
func codeOf(err error) string {
	switch exitCode(err) {
	case exitUsage:
		return "usage"
	case exitPartial:
		return "partial"
	case exitNotFound:
		return "not_found"
	case exitBusy:
		return "busy"
	}
	return strings.ToLower(strings.TrimPrefix(messages.FailureOf(err).GetCode().String(), "CODE_"))
}

// note tells people, or with --json programs, something beside the result. kind is "note" or "warning".
func (o *output) note(stderr io.Writer, kind, text string) {
	switch {
	case o.json:
		_ = printJSON(stderr, map[string]string{kind: text})
	case kind == "note":
		fmt.Fprintf(stderr, "%s\n", show.Printable(text))
	default:
		fmt.Fprintf(stderr, "%s: %s\n", kind, show.Printable(text))
	}
}

// printJSON prints v on one line.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
