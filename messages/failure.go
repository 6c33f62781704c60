package messages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The errors that a caller may branch on, with errors.Is. Each matches the Failures of one
// code, or of one condition.
var (
	// ErrInvalid: the request breaks a limit or a rule; the text names every fault. A
	// retry without a change fails again, nothing was written.
	ErrInvalid = errors.New("invalid request")
	// ErrNotFound: Get found no such key, or a request named no known table.
	ErrNotFound = errors.New("not found")
	// ErrConditionFailed: a condition of the Write did not hold; nothing was written.
	ErrConditionFailed = errors.New("condition failed")
	// ErrUnavailable: the table cannot serve now, or its disk failed. Unless ErrOutcomeUnknown matches
	// too, nothing was written.
	ErrUnavailable = errors.New("unavailable")
	// ErrExhausted: too much is waiting already; nothing was written. Retry after the
	// time the Failure names.
	ErrExhausted = errors.New("too much is waiting")
	// ErrDeadline: the request expired before its commit; nothing was written.
	ErrDeadline = errors.New("deadline exceeded")
	// ErrDataLoss: durable data is missing or damaged, and was not served.
	ErrDataLoss = errors.New("data loss detected")
	// ErrUnimplemented: the receiver does not know the message.
	ErrUnimplemented = errors.New("not understood")
	// ErrInternal: the receiver panicked on the request, or was answered with nonsense; nothing was written.
	ErrInternal = errors.New("internal failure")
	// ErrNotAdopted: a run was refused, because the backup directory is not known to be that of this directory: its
	// backups are of another copy of it, or it is empty though there were backups. Nothing was written there. BackupAll
	// with adopt makes it so. It matches beside the error of the code.
	ErrNotAdopted = errors.New("backup directory is not adopted")
	// ErrOutcomeUnknown: the write was applied but never confirmed durable; it may be
	// there after the table reopens. It matches beside the error of the code.
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// sentinels maps each code to its error, and back.
var sentinels = map[Code]error{
	Code_CODE_INVALID_ARGUMENT:    ErrInvalid,
	Code_CODE_NOT_FOUND:           ErrNotFound,
	Code_CODE_FAILED_PRECONDITION: ErrConditionFailed,
	Code_CODE_UNAVAILABLE:         ErrUnavailable,
	Code_CODE_RESOURCE_EXHAUSTED:  ErrExhausted,
	Code_CODE_DEADLINE_EXCEEDED:   ErrDeadline,
	Code_CODE_DATA_LOSS:           ErrDataLoss,
	Code_CODE_UNIMPLEMENTED:       ErrUnimplemented,
	Code_CODE_INTERNAL:            ErrInternal,
}

// Error makes a Failure an error.
func (f *Failure) Error() string {
	if f.GetTable() == "" {
		return f.GetMessage()
	}
	return fmt.Sprintf("table %q: %s", f.GetTable(), f.GetMessage())
}

// Is matches the sentinel of the Failure's code, and ErrOutcomeUnknown and ErrNotAdopted where they are set.
func (f *Failure) Is(target error) bool {
	switch target {
	case ErrOutcomeUnknown:
		return f.GetOutcomeUnknown()
	case ErrNotAdopted:
		return f.GetNotAdopted()
	}
	sentinel := sentinels[f.GetCode()]
	return sentinel != nil && target == sentinel
}

// Failf makes a Failure of the given code.
func Failf(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: Text(fmt.Sprintf(format, args...))}
}

// Text is s with U+FFFD in place of what is not UTF-8, such as the bytes of a path: a message that holds anything else
// cannot be marshalled.
func Text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// Of sets the table the Failure speaks of, and returns it.
func (f *Failure) Of(table string) *Failure {
	f.Table = table
	return f
}

// After sets how long to wait before a retry, and returns the Failure.
func (f *Failure) After(wait time.Duration) *Failure {
	f.RetryAfter = durationpb.New(wait)
	return f
}

// Advise sets the hint, and returns the Failure.
func (f *Failure) Advise(hint string) *Failure {
	f.Hint = Text(hint)
	return f
}

// FailureOf turns any error into a Failure. A Failure is copied. An error that wraps a Failure keeps its code; one
// that matches sentinels gets the code of the lowest number; one of a context gets its code; any other, such as one
// of a disk, is UNAVAILABLE. Hints found on the way are joined. A nil error is a nil Failure.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	if f, ok := err.(*Failure); ok {
		return proto.CloneOf(f)
	}
	failure := &Failure{Code: Code_CODE_UNAVAILABLE, Message: Text(err.Error())}
	var inner *Failure
	switch {
	case errors.As(err, &inner):
		failure.Code = inner.Code
		failure.RetryAfter = inner.RetryAfter
		failure.OutcomeUnknown, failure.NotAdopted = inner.OutcomeUnknown, inner.NotAdopted
	case errors.Is(err, context.Canceled):
		failure.Code = Code_CODE_CANCELLED
	case errors.Is(err, context.DeadlineExceeded):
		failure.Code = Code_CODE_DEADLINE_EXCEEDED
	default:
		// By number, so that an error that matches two of them has one code.
		for _, code := range slices.Sorted(maps.Keys(sentinels)) {
			if errors.Is(err, sentinels[code]) {
				failure.Code = code
				break
			}
		}
	}
	failure.Hint = Text(joinHints(err))
	return failure
}
