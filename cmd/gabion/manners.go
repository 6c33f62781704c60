package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// The manners that every command keeps:
//
//   - Results go to stdout, everything else to stderr. Nothing is logged, but by serve.
//   - An error is "gabion: ..." in lower case without a full stop, one line for each fault, each followed by a "hint:"
//     line for each thing that can be done about it, told once. No usage follows, which would scroll it away.
//   - --json gives one JSON document, or one to a line where rows or events come one after another. Names are
//     those of the .proto files; 64-bit numbers are strings, as protobuf's JSON has them. Errors and notes on stderr are
//     objects too, each on a line of its own.
//   - The exit code says what a script wants to know; see exitCodes.
//   - A reader that goes away, as in "gabion export t | head -1", is not an error.
//   - A command goes through the server that holds the directory, with the same output. Where none does, one that
//     reads opens the directory in place and read-only: it creates nothing but the lock files of a directory that
//     is there. It waits a little for another reader to finish. No command makes a table by a slip of the pen.

// exitCodes is part of every help text.
const exitCodes = `Exit codes:
  0   ok
  1   error
  2   usage: the command line, or a name or key on it, is not valid
  3   partial: some tables are not open
  10  not found: the directory, the table or the key
  11  busy: another process holds the directory and opened no socket
`

const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitPartial  = 3
	exitNotFound = 10
	exitBusy     = 11
)

// errPartial: the command did its work, but something it speaks of is not as it should be.
var errPartial = errors.New("partial")

// partialError is an errPartial that says what it is about.
type partialError string

func (e partialError) Error() string        { return string(e) }
func (e partialError) Is(target error) bool { return target == errPartial }

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(hint, format string, args ...any) error {
	return usageError{messages.WithHint(fmt.Errorf(format, args...), hint)}
}

// loggedError is an error that a JSON log has told already: its reader wants nothing but JSON.
type loggedError struct{ error }

func (e loggedError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil, isClosedPipe(err):
		return exitOK
	case errors.As(err, &usage), errors.Is(err, messages.ErrInvalid):
		return exitUsage
	case errors.Is(err, store.ErrHeld):
		return exitBusy
	case errors.Is(err, messages.ErrNotFound):
		return exitNotFound
	case errors.Is(err, errPartial):
		return exitPartial
	}
	return exitError
}

// isClosedPipe tells that nothing but the reader's going away ended the command.
func isClosedPipe(err error) bool {
	for _, fault := range faults(err) {
		if !errors.Is(fault, errNoReader) {
			return false
		}
	}
	return true
}

// faults are the errors that err joins, so that each is told for itself.
func faults(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var texts []string
	for _, e := range joined.Unwrap() {
		all = append(all, faults(e)...)
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err} // wrapped in a text of its own
	}
	return all
}
