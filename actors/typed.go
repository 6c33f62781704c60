package actors

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
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

// Insert stores value under key unless there is a row of it: then the error matches messages.ErrConditionFailed, and
// nothing is written.
func (t *Typed[K, V]) Insert(ctx context.Context, key K, value V) (seq uint64, err error) {
	k, err := t.encodeKey(key)
	if err != nil {
		return 0, fmt.Errorf("insert: %w", err)
	}
	v, err := t.encodeValue(value)
	if err != nil {
		return 0, fmt.Errorf("insert: %w", err)
	}
	return t.table.write(ctx, "insert", &messages.Write{
		Ops: []*messages.Op{messages.PutOp(k, v)}, Conditions: []*messages.Condition{messages.IfAbsent(k)}, Deadline: deadline(ctx)})
}

// EncodeKey returns the key as the table holds it: for a Write of several rows, and for messages to the table's owner.
func (t *Typed[K, V]) EncodeKey(key K) ([]byte, error) { return t.encodeKey(key) }

// EncodeValue returns the value as the table holds it.
func (t *Typed[K, V]) EncodeValue(value V) ([]byte, error) { return t.encodeValue(value) }

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
