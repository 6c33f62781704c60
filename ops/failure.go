package ops

import (
	"context"
	"errors"
	"fmt"
	"os"

	"connectrpc.com/connect"

	"github.com/gabiondb/gabion/messages"
)

// ErrNoServer: nothing answers on the directory's socket. Nothing was sent.
var ErrNoServer = errors.New("no server answers")

// toConnect makes an error of the service of err: the code is the Failure's, and the Failure itself a detail.
func toConnect(err error) *connect.Error {
	var wire *connect.Error
	if errors.As(err, &wire) {
		return wire
	}
	failure := messages.FailureOf(err)
	failure.OutcomeUnknown = errors.Is(err, messages.ErrOutcomeUnknown)
	wire = connect.NewError(connect.Code(failure.GetCode()), errors.New(failure.GetMessage()))
	detail, err := connect.NewErrorDetail(failure)
	if err != nil {
		return connect.NewError(connect.CodeInternal, fmt.Errorf("marshal failure: %w", err))
	}
	wire.AddDetail(detail)
	return wire
}

// fromConnect is the error that the server made, or one that says that it did not answer. A write without an answer
// may have been carried out.
func fromConnect(ctx context.Context, err error, write bool) error {
	var wire *connect.Error
	if err == nil || !errors.As(err, &wire) {
		return err
	}
	for _, detail := range wire.Details() {
		if value, err := detail.Value(); err == nil {
			if failure, ok := value.(*messages.Failure); ok {
				return failure
			}
		}
	}
	switch {
	case connect.IsWireError(err):
		return messages.Failf(messages.Code(wire.Code()), "%s", wire.Message())
	case errors.Is(err, ErrNoServer):
		return wire.Unwrap()
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, os.ErrPermission):
		return wire.Unwrap()
	default:
		err = fmt.Errorf("the server went away: %w: %w", messages.ErrUnavailable, wire.Unwrap())
	}
	if write {
		return fmt.Errorf("%w: %w", messages.ErrOutcomeUnknown, err)
	}
	return err
}
