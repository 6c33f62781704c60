package messages

import (
	"errors"
	"slices"
	"strings"
	"syscall"
)

// hintedError carries what to do about an error beside the error itself.
type hintedError struct {
	error
	hint string
}

func (h *hintedError) Unwrap() error   { return h.error }
func (h *hintedError) GetHint() string { return h.hint }

// WithHint attaches to err what a person can do about it: a sentence, lower case, without a
// full stop. The error's text does not change. A nil err stays nil.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hintedError{error: err, hint: hint}
}

// Hints returns the hints found in err's tree, outermost first, each once. An error of the operating system for want of
// file descriptors, which can come from anywhere, has one without WithHint.
func Hints(err error) []string {
	var hints []string
	var walk func(error)
	walk = func(err error) {
		if err == nil {
			return
		}
		if h, ok := err.(interface{ GetHint() string }); ok {
			if hint := h.GetHint(); hint != "" && !slices.Contains(hints, hint) {
				hints = append(hints, hint)
			}
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, child := range e.Unwrap() {
				walk(child)
			}
		}
	}
	walk(err)
	switch {
	case errors.Is(err, syscall.EMFILE):
		hints = append(hints, "the process has no file descriptor left: raise its limit with ulimit -n, "+
			"or LimitNOFILE= in the unit of systemd")
	case errors.Is(err, syscall.ENFILE):
		hints = append(hints, "the machine has no file descriptor left: raise its limit, on Linux fs.file-max")
	}
	return hints
}

func joinHints(err error) string { return strings.Join(Hints(err), "; ") }
