package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// ErrDeleteRow, returned by the func of an Update, deletes the row.
var ErrDeleteRow = errors.New("delete the row")

// Update changes the value of key to what change makes of it, unless somebody else changes it meanwhile: then
// change is called again, with the newer value, until it succeeds or ctx ends. It returns the value it stored,
// after the fsync.
//
// change is called with the value of the row, or with the zero V and found false where there is none. It runs
// on the caller's goroutine, may change old, and should do nothing that must not be done twice. When it returns
// ErrDeleteRow the row is deleted and Update returns the zero V; any other error ends the Update, which returns it
// and writes nothing. A value that encodes to the bytes of the row already is not written again.
//
// When ctx ends between two tries nothing was written, and the error matches the context's and
// messages.ErrConditionFailed. An error that matches messages.ErrOutcomeUnknown is never tried again: the change may
// have been carried out.
func (t *Typed[K, V]) Update(ctx context.Context, key K, change func(old V, found bool) (V, error)) (V, error) {
	var none V
	k, err := t.encodeKey(key)
	if err != nil {
		return none, fmt.Errorf("update: %w", err)
	}
	for try := 0; ; try++ {
		value, overtaken, err := t.tryUpdate(ctx, k, change)
		if err == nil {
			return value, nil
		}
		if !overtaken {
			return none, fmt.Errorf("update: %w", err)
		}
		if !pause(ctx, try) {
			return none, fmt.Errorf("update: %w: %w", contextError(ctx), err)
		}
	}
}

// tryUpdate writes on the condition that the row has the very bytes it was read with: the codec may encode an
// equal value otherwise. overtaken tells that somebody else changed the row, and nothing was written.
func (t *Typed[K, V]) tryUpdate(ctx context.Context, k []byte, change func(V, bool) (V, error)) (value V, overtaken bool, err error) {
	row, err := t.table.get(ctx, k)
	if err != nil {
		return value, false, err
	}
	var old, none V
	condition := messages.IfAbsent(k)
	if row.found {
		condition = messages.IfEquals(k, row.value)
		// A copy: old may keep it, and change may change old.
		if old, err = t.decodeValue(k, bytes.Clone(row.value)); err != nil {
			return none, false, err
		}
	}
	var op *messages.Op
	value, err = change(old, row.found)
	switch {
	case errors.Is(err, ErrDeleteRow):
		if !row.found {
			return none, false, nil
		}
		value, op = none, messages.DeleteOp(k)
	case err != nil:
		return none, false, err
	default:
		v, err := t.encodeValue(value)
		if err != nil {
			return none, false, err
		}
		if row.found && bytes.Equal(v, row.value) {
			return value, false, nil
		}
		op = messages.PutOp(k, v)
	}
	_, err = t.table.Write(ctx, &messages.Write{
		Ops: []*messages.Op{op}, Conditions: []*messages.Condition{condition}, Deadline: deadline(ctx)})
	return value, errors.Is(err, messages.ErrConditionFailed) && !errors.Is(err, messages.ErrOutcomeUnknown), err
}

// The wait between two tries of an Update is random: up to shortestPause after the first, about an fsync, and up to
// twice as long after each more, but never longer than longestPause.
const (
	shortestPause = time.Millisecond
	longestPause  = 64 * time.Millisecond
)

// pause waits after a try, counted from 0, and tells whether ctx goes on.
func pause(ctx context.Context, try int) bool {
	longest := min(shortestPause<<min(try, 10), longestPause)
	timer := time.NewTimer(1 + rand.N(longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
