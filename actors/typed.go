package actors

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gabiondb/gabion/messages"
)

// Typed is a table whose keys are of type K and whose values are of type V, for any number of goroutines. It keeps
// nothing but its Table and its codecs, and its calls are the Table's: the same errors, the same order, the same
// durability. Keys and values that it is given are not kept, and those it returns belong to the caller.
//
// A key or value that its codec refuses gives an error that matches messages.ErrInvalid, and nothing is written.
// A row that the codecs cannot read gives a *DecodeError.
type Typed[K, V any] struct {
	table  *Table
	keys   KeyCodec[K]
	values Codec[V]
}

// NewTyped returns table with the keys and values that the codecs encode. Both must be set. Typed tables of one
// Table share its order.
func NewTyped[K, V any](table *Table, keys KeyCodec[K], values Codec[V]) *Typed[K, V] {
	return &Typed[K, V]{table: table, keys: keys, values: values}
}

// Table is the table of bytes below.
func (t *Typed[K, V]) Table() *Table { return t.table }

// Put stores value under key and returns the table's seq, after the fsync.
func (t *Typed[K, V]) Put(ctx context.Context, key K, value V) (seq uint64, err error) {
	k, err := t.encodeKey(key)
	if err != nil {
		return 0, fmt.Errorf("put: %w", err)
	}
	v, err := t.encodeValue(value)
	if err != nil {
		return 0, fmt.Errorf("put: %w", err)
	}
	return t.table.write(ctx, "put", &messages.Put{Key: k, Value: v, Deadline: deadline(ctx)})
}

// Delete removes key. An absent key is not an error.
func (t *Typed[K, V]) Delete(ctx context.Context, key K) (seq uint64, err error) {
	k, err := t.encodeKey(key)
	if err != nil {
		return 0, fmt.Errorf("delete: %w", err)
	}
	return t.table.write(ctx, "delete", &messages.Delete{Key: k, Deadline: deadline(ctx)})
}

// Get returns the value of key. A key that is absent gives an error that matches messages.ErrNotFound.
func (t *Typed[K, V]) Get(ctx context.Context, key K) (value V, err error) {
	k, err := t.encodeKey(key)
	if err != nil {
		return value, fmt.Errorf("get: %w", err)
	}
	raw, err := t.table.Get(ctx, k)
	if err != nil {
		return value, err
	}
	if value, err = t.decodeValue(k, raw); err != nil {
		return value, fmt.Errorf("get: %w", err)
	}
	return value, nil
}

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
	condition := &messages.Condition{Key: k, Want: &messages.Condition_Absent{Absent: true}}
	if row.GetFound() {
		condition.Want = &messages.Condition_Equals{Equals: row.GetValue()}
		// A copy: old may keep it, and change may change old.
		if old, err = t.decodeValue(k, bytes.Clone(row.GetValue())); err != nil {
			return none, false, err
		}
	}
	op := &messages.Op{}
	value, err = change(old, row.GetFound())
	switch {
	case errors.Is(err, ErrDeleteRow):
		if !row.GetFound() {
			return none, false, nil
		}
		value, op.Op = none, &messages.Op_Delete{Delete: &messages.Delete{Key: k}}
	case err != nil:
		return none, false, err
	default:
		v, err := t.encodeValue(value)
		if err != nil {
			return none, false, err
		}
		if row.GetFound() && bytes.Equal(v, row.GetValue()) {
			return value, false, nil
		}
		op.Op = &messages.Op_Put{Put: &messages.Put{Key: k, Value: v}}
	}
	_, err = t.table.Write(ctx, &messages.Write{
		Ops: []*messages.Op{op}, Conditions: []*messages.Condition{condition}, Deadline: deadline(ctx)})
	return value, errors.Is(err, messages.ErrConditionFailed) && !errors.Is(err, messages.ErrOutcomeUnknown), err
}

// The wait between two tries of an Update is random, up to shortestPause after the first, twice as long after each
// more, up to longestPause: about as long as an fsync, and so long that a hundred writers of one row get through.
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

func (t *Typed[K, V]) encodeKey(key K) ([]byte, error) {
	k, err := t.keys.AppendKey(nil, key)
	if err != nil {
		return nil, t.refused("key", err)
	}
	return k, nil
}

func (t *Typed[K, V]) encodeValue(value V) ([]byte, error) {
	v, err := t.values.Append(nil, value)
	if err != nil {
		return nil, t.refused("value", err)
	}
	return v, nil
}

func (t *Typed[K, V]) refused(part string, err error) error {
	return fmt.Errorf("table %q: encode %s: %w: %w", t.table.name, part, messages.ErrInvalid, err)
}

func (t *Typed[K, V]) decodeValue(k, raw []byte) (value V, err error) {
	value, err = t.values.Decode(raw)
	if err != nil {
		var none V
		return none, &DecodeError{Table: t.table.name, Key: bytes.Clone(k), Part: "value", Err: err}
	}
	return value, nil
}

// DecodeError is a row whose bytes a Typed table's codecs cannot read: written by another program, with another
// codec, or for another type. The table itself is whole; Table.Get, Put and Delete reach the row by Key.
type DecodeError struct {
	Table string
	// Key is the row's key as the table holds it.
	Key []byte
	// Part is what could not be read: "key" or "value".
	Part string
	// Err is the codec's error.
	Err error
}

func (e *DecodeError) Error() string {
	key := "0x" + hex.EncodeToString(e.Key)
	if text := string(e.Key); utf8.ValidString(text) && strings.IndexFunc(text, unprintable) < 0 {
		key = strconv.Quote(text)
	}
	if e.Part == "key" {
		return fmt.Sprintf("table %q: decode key %s: %v", e.Table, key, e.Err)
	}
	return fmt.Sprintf("table %q: decode %s of key %s: %v", e.Table, e.Part, key, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }

// GetHint is what to do about it, for messages.Hints.
func (e *DecodeError) GetHint() string {
	return "use the codecs and the type that the row was written with, or write it anew through the table of bytes"
}

func unprintable(r rune) bool { return !strconv.IsPrint(r) }
