package messages_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/messages"
)

func TestFailureMatchesItsSentinelOnly(t *testing.T) {
	all := map[messages.Code]error{
		messages.Code_CODE_INVALID_ARGUMENT:    messages.ErrInvalid,
		messages.Code_CODE_NOT_FOUND:           messages.ErrNotFound,
		messages.Code_CODE_FAILED_PRECONDITION: messages.ErrConditionFailed,
		messages.Code_CODE_UNAVAILABLE:         messages.ErrUnavailable,
		messages.Code_CODE_RESOURCE_EXHAUSTED:  messages.ErrExhausted,
		messages.Code_CODE_DEADLINE_EXCEEDED:   messages.ErrDeadline,
		messages.Code_CODE_DATA_LOSS:           messages.ErrDataLoss,
		messages.Code_CODE_UNIMPLEMENTED:       messages.ErrUnimplemented,
		messages.Code_CODE_INTERNAL:            messages.ErrInternal,
	}
	for code, sentinel := range all {
		err := fmt.Errorf("wrapped: %w", messages.Failf(code, "text"))
		for other, target := range all {
			if errors.Is(err, target) != (other == code) {
				t.Errorf("%v: errors.Is(%v) is %v", code, target, other != code)
			}
		}
		if back := messages.FailureOf(fmt.Errorf("again: %w", sentinel)); back.GetCode() != code {
			t.Errorf("FailureOf(%v) has %v, want %v", sentinel, back.GetCode(), code)
		}
	}
}

func TestFailureOfTwoSentinelsHasOneCode(t *testing.T) {
	err := fmt.Errorf("%w: %w", messages.ErrDataLoss, messages.ErrDeadline)
	for range 100 {
		if code := messages.FailureOf(err).GetCode(); code != messages.Code_CODE_DEADLINE_EXCEEDED {
			t.Fatalf("code is %v", code)
		}
	}
}

func TestFailureOfKeepsWhatTheInnerOneSaid(t *testing.T) {
	inner := messages.Failf(messages.Code_CODE_UNAVAILABLE, "busy").After(time.Second).Advise("wait")
	inner.OutcomeUnknown, inner.NotAdopted = true, true
	got := messages.FailureOf(messages.WithHint(fmt.Errorf("put: %w", inner), "look at the log"))
	if got.GetCode() != inner.GetCode() || got.GetRetryAfter().AsDuration() != time.Second ||
		got.GetHint() != "look at the log; wait" || got.GetMessage() != "put: busy" {
		t.Errorf("got %v", got)
	}
	for _, target := range []error{messages.ErrOutcomeUnknown, messages.ErrNotAdopted, messages.ErrUnavailable} {
		if !errors.Is(got, target) {
			t.Errorf("%v does not match %v", got, target)
		}
	}
	if other := messages.Failf(messages.Code_CODE_FAILED_PRECONDITION, "no"); errors.Is(other, messages.ErrNotAdopted) {
		t.Errorf("%v matches ErrNotAdopted", other)
	}
	if messages.FailureOf(nil) != nil {
		t.Error("a nil error is a Failure")
	}
}

func TestHintsWalksJoinedErrors(t *testing.T) {
	err := errors.Join(
		messages.WithHint(errors.New("a"), "one"),
		fmt.Errorf("b: %w", messages.WithHint(errors.New("c"), "two")),
		messages.WithHint(errors.New("d"), "one"))
	if got := messages.Hints(fmt.Errorf("all: %w", err)); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("hints are %q", got)
	}
	if messages.WithHint(nil, "x") != nil {
		t.Error("a nil error got a hint")
	}
}

// TestDescriptorHints: an error for want of file descriptors says what to do, whoever met it.
func TestDescriptorHints(t *testing.T) {
	for _, c := range []struct {
		errno error
		part  string
	}{{syscall.EMFILE, "ulimit -n"}, {syscall.ENFILE, "fs.file-max"}} {
		err := fmt.Errorf("list: %w", &os.PathError{Op: "open", Path: "x", Err: c.errno})
		for _, err := range []error{err, messages.WithHint(err, "look")} {
			hints := messages.Hints(err)
			if n := len(hints); n == 0 || !strings.Contains(hints[n-1], c.part) {
				t.Errorf("%v: hints %q", err, hints)
			}
			if hint := messages.FailureOf(err).GetHint(); !strings.Contains(hint, c.part) {
				t.Errorf("%v: hint %q", err, hint)
			}
		}
	}
}
