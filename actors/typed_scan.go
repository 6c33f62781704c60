package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/gabiondb/gabion/messages"
)

// Row is one row of a Typed table.
type Row[K, V any] struct {
	Key   K
	Value V
}

// Span is a part of a Typed table and the way to go through it. The zero Span is the whole table, forward. Its
// methods return a narrower Span and leave theirs as it is; keys are kept until the scan and must not change.
type Span[K any] struct {
	from, to *K // nil where the span is open
	prefix   []byte
	limit    int
	reverse  bool
	err      error // of the prefix
}

// From leaves out the keys before key.
func (s Span[K]) From(key K) Span[K] { s.from = &key; return s }

// To leaves out key and the keys after it.
func (s Span[K]) To(key K) Span[K] { s.to = &key; return s }

// Prefix leaves only the keys whose encoded bytes begin with encoded. StringKey, BytesKey and PairKey have methods
// that make it; this one is for a KeyCodec of one's own. Empty bytes leave all keys.
func (s Span[K]) Prefix(encoded []byte) Span[K] { s.prefix = bytes.Clone(encoded); return s }

// Reverse goes from the last key of the span to the first. The span is the same: From is in it, To is not.
func (s Span[K]) Reverse() Span[K] { s.reverse = true; return s }

// Limit ends the scan after n rows. Less than 1 is no limit.
func (s Span[K]) Limit(n int) Span[K] { s.limit = max(n, 0); return s }

// All goes through the whole table, as Scan does.
func (t *Typed[K, V]) All(ctx context.Context) iter.Seq2[Row[K, V], error] {
	return t.Scan(ctx, Span[K]{})
}

// Range goes through the keys in [from, to), as Scan does. It is empty when to is not after from.
func (t *Typed[K, V]) Range(ctx context.Context, from, to K) iter.Seq2[Row[K, V], error] {
	return t.Scan(ctx, Span[K]{}.From(from).To(to))
}

// Scan goes through the rows of span in the order of their keys, as of one instant: the start of the loop, which
// sees every write that was answered before. Each loop over the sequence is a scan anew.
//
// An error comes with the zero Row, and is the last of the sequence: of a bound that the codec refuses
// (messages.ErrInvalid), of a row that it cannot read (*DecodeError), of ctx, or of the table.
//
// The loop holds the table as it was until it ends, also by break, return or panic: keep it short, for what is
// deleted meanwhile stays on disk. A table that closes ends it with messages.ErrUnavailable. It may write to the
// table, and does not see what it writes. A page of up to 1 MiB is in memory.
func (t *Typed[K, V]) Scan(ctx context.Context, span Span[K]) iter.Seq2[Row[K, V], error] {
	return func(yield func(Row[K, V], error) bool) {
		scan, empty, err := t.encodeSpan(span)
		if err != nil {
			yield(Row[K, V]{}, fmt.Errorf("scan: %w", err))
			return
		}
		if empty {
			return
		}
		ended, count := false, 0
		err = t.table.walk(ctx, scan, firstPage(span.limit), func(k, v []byte) error {
			if ctx.Err() != nil {
				return contextError(ctx)
			}
			row, err := t.decodeRow(k, v)
			if err != nil {
				return err
			}
			count++
			ended = !yield(row, nil)
			if ended || count == span.limit {
				return errEnough
			}
			return nil
		})
		if err != nil && !ended && !errors.Is(err, errEnough) {
			yield(Row[K, V]{}, fmt.Errorf("scan: %w", err))
		}
	}
}

// errEnough ends a walk that needs no more rows.
var errEnough = errors.New("enough")

// firstPage is how many rows the first page of a scan holds: those that it is limited to, or a few, as the loop may
// end soon.
func firstPage(limit int) uint32 {
	if limit == 0 {
		return 64
	}
	return uint32(min(uint64(limit), math.MaxUint32))
}

// encodeSpan returns the scan of a span, or that it holds no key.
func (t *Typed[K, V]) encodeSpan(span Span[K]) (scan *messages.Scan, empty bool, err error) {
	if span.err != nil {
		return nil, false, t.refused("prefix", span.err)
	}
	scan = &messages.Scan{Prefix: span.prefix, Reverse: span.reverse}
	if span.from != nil {
		if scan.Start, err = t.keys.AppendKey(nil, *span.from); err != nil {
			return nil, false, t.refused("start of span", err)
		}
	}
	if span.to != nil {
		if scan.End, err = t.keys.AppendKey(nil, *span.to); err != nil {
			return nil, false, t.refused("end of span", err)
		}
		// No key is before an empty one, and in a Scan an empty end is open.
		empty = len(scan.End) == 0
	}
	return scan, empty, nil
}

func (t *Typed[K, V]) decodeRow(k, v []byte) (row Row[K, V], err error) {
	if row.Key, err = t.keys.DecodeKey(k); err != nil {
		return Row[K, V]{}, &DecodeError{Table: t.table.name, Key: k, Part: "key", Err: err}
	}
	if row.Value, err = t.decodeValue(k, v); err != nil {
		return Row[K, V]{}, err
	}
	return row, nil
}
