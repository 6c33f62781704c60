package actors

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/gabiondb/gabion/messages"
)

// A handle's call does what the owner does with a message, on the caller's goroutine: the way through a mailbox costs
// an envelope, a process to wait by and two goroutines to wake. The order of one handle's calls is kept, since each is in the table's order of
// commits, or answered, before it waits. Where the host has middleware, calls go through the mailbox, for it to see them.

// call carries out m and waits for the answer. When ctx ends first, gaveUp is true and late gets the answer once it
// comes.
func call[T any](ctx context.Context, t *Table, m any, late func(any)) (answer T, gaveUp bool, err error) {
	if t.sends() {
		return callOwner[T](ctx, t, m, late)
	}
	table, err := t.reach()
	if err != nil {
		return answer, false, err
	}
	if ctx.Err() != nil {
		return answer, false, contextError(ctx)
	}
	c := &waitingEntry{}
	c.waiter.begin(&t.gabion.tree.replies)
	c.entry.request.out, c.entry.request.waiter = table.outbox, &c.waiter
	table.carryOut(&c.entry, m)
	reply, err := c.waiter.await(ctx, late)
	if err != nil {
		return answer, true, err
	}
	answer, err = answered[T](ctx, reply)
	return answer, false, err
}

// sends tells whether calls go through the mailbox.
func (t *Table) sends() bool { return len(t.gabion.tree.config.Middleware) > 0 }

// waitingEntry is an entry and who waits for it, in one piece of memory.
type waitingEntry struct {
	entry  entry
	waiter waiter
}

// carryOut is what an owner and its guard do.
func (c *cell) carryOut(e *entry, message any) {
	defer func() {
		if reason := recover(); reason != nil {
			c.logger.Error("call panicked", "message", fmt.Sprintf("%T", message), "reason", reason, "stack", string(debug.Stack()))
			if !e.taken.Load() {
				e.answer(panickedFailure("call", message))
			}
		}
	}()
	if !c.receive(e, message) {
		e.answer(notUnderstood("table "+c.name, message).Of(c.name))
	}
}

// callOwner is call through the mailbox.
func callOwner[T any](ctx context.Context, t *Table, m any, late func(any)) (answer T, gaveUp bool, err error) {
	if _, err := t.reach(); err != nil {
		return answer, false, err
	}
	answer, gaveUp, err = askLate[T](ctx, t.gabion.tree.repliers, t.gabion.PID(t.name), m, late)
	if errors.Is(err, errNobody) {
		err = droppedFailure(t.name)
		select {
		case <-t.gabion.tree.stopped:
			err = stoppedFailure().Of(t.name)
		default: // the instant between two actors
		}
	}
	return answer, gaveUp, err
}

// reach returns the table; the error is that of one that is not served, or of a Gabion that has stopped.
func (t *Table) reach() (*cell, error) {
	c := t.cell()
	if c == nil {
		return nil, missingFailure(t.name)
	}
	select {
	case <-t.gabion.tree.stopped:
		return nil, stoppedFailure().Of(t.name)
	default:
		return c, nil
	}
}

// panickedFailure is the answer to a message that was not carried out, since who received it panicked.
func panickedFailure(who string, message any) *messages.Failure {
	return messages.Failf(messages.Code_CODE_INTERNAL, "%s panicked on %T; it was not carried out", who, message).
		Advise("the log has the stack; other requests are not affected")
}
