package actors

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// KeyCodec turns the keys of a Typed table into bytes and back. Encoded keys sort bytewise, as bytes.Compare
// does, in the order of the keys: scans and ranges rely on it. Two keys never have the same bytes. The formats of
// this package do not change. It is used by many goroutines at once.
type KeyCodec[K any] interface {
	// AppendKey appends key to buf and returns the longer slice, which the caller owns: it shares nothing
	// with key. An error refuses the key, and nothing is written.
	AppendKey(buf []byte, key K) ([]byte, error)
	// DecodeKey returns what AppendKey was given. The key may keep b, which belongs to it.
	DecodeKey(b []byte) (K, error)
}

// fixedWidth is implemented by key codecs whose keys may all have one length: width, in bytes, or 0.
type fixedWidth interface{ width() int }

// StringKey stores a string as its bytes, UTF-8 or not; the order is that of Go's <, not of any language. The
// empty string is no key, except as a part of a PairKey: it is refused with messages.ErrInvalid. As the bound of a
// Span it is before all keys.
type StringKey[K ~string] struct{}

// AppendKey implements KeyCodec.
func (StringKey[K]) AppendKey(buf []byte, key K) ([]byte, error) { return append(buf, key...), nil }

// DecodeKey implements KeyCodec.
func (StringKey[K]) DecodeKey(b []byte) (K, error) { return K(b), nil }

// Prefix returns the span of the keys that begin with prefix. The empty prefix is all of them.
func (StringKey[K]) Prefix(prefix K) Span[K] { return Span[K]{}.Prefix([]byte(prefix)) }

// BytesKey stores bytes as they are, in bytewise order. No bytes are no key, as with StringKey.
type BytesKey struct{}

// AppendKey implements KeyCodec.
func (BytesKey) AppendKey(buf []byte, key []byte) ([]byte, error) { return append(buf, key...), nil }

// DecodeKey implements KeyCodec.
func (BytesKey) DecodeKey(b []byte) ([]byte, error) { return b, nil }

// Prefix returns the span of the keys that begin with prefix. The empty prefix is all of them.
func (BytesKey) Prefix(prefix []byte) Span[[]byte] { return Span[[]byte]{}.Prefix(prefix) }

// UintKey stores an unsigned integer of any size in 8 bytes, big-endian: 258 is 00 00 00 00 00 00 01 02. K may be
// widened later, or narrowed as far as the stored keys fit.
type UintKey[K ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64] struct{}

// AppendKey implements KeyCodec.
func (UintKey[K]) AppendKey(buf []byte, key K) ([]byte, error) {
	return binary.BigEndian.AppendUint64(buf, uint64(key)), nil
}

// DecodeKey implements KeyCodec.
func (UintKey[K]) DecodeKey(b []byte) (K, error) {
	n, err := eightBytes(b)
	if err == nil && uint64(K(n)) != n {
		err = fmt.Errorf("%d is too large for %T", n, K(0))
	}
	return K(n), err
}

func (UintKey[K]) width() int { return 8 }

// IntKey stores a signed integer of any size in 8 bytes, big-endian, two's complement with the sign bit
// flipped: -1 is 7f ff ff ff ff ff ff ff, 0 is 80 00 00 00 00 00 00 00. K may be widened later, or narrowed as far
// as the stored keys fit.
type IntKey[K ~int | ~int8 | ~int16 | ~int32 | ~int64] struct{}

// AppendKey implements KeyCodec.
func (IntKey[K]) AppendKey(buf []byte, key K) ([]byte, error) {
	return binary.BigEndian.AppendUint64(buf, uint64(key)^signBit), nil
}

// DecodeKey implements KeyCodec.
func (IntKey[K]) DecodeKey(b []byte) (K, error) {
	u, err := eightBytes(b)
	n := int64(u ^ signBit)
	if err == nil && int64(K(n)) != n {
		err = fmt.Errorf("%d does not fit %T", n, K(0))
	}
	return K(n), err
}

func (IntKey[K]) width() int { return 8 }

const signBit = 1 << 63

func eightBytes(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("has %d B, want 8 B", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// TimeKey stores an instant as the nanoseconds since 1970 in UTC, in the format of IntKey. What it holds reaches
// from 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z; any other instant, the zero Time too, is
// refused with messages.ErrInvalid. The location and the monotonic clock reading are lost: a decoded key is in UTC
// and Equal to what was stored, and two Times of one instant are one key.
type TimeKey struct{}

// AppendKey implements KeyCodec.
func (TimeKey) AppendKey(buf []byte, key time.Time) ([]byte, error) {
	first, last := time.Unix(0, math.MinInt64).UTC(), time.Unix(0, math.MaxInt64).UTC()
	if key.Before(first) || key.After(last) {
		err := fmt.Errorf("time %s is not in [%s, %s]", key, first.Format(time.RFC3339Nano), last.Format(time.RFC3339Nano))
		return nil, messages.WithHint(err, "the zero Time is the year 1: set the time, or key the table by an integer")
	}
	return IntKey[int64]{}.AppendKey(buf, key.UnixNano())
}

// DecodeKey implements KeyCodec.
func (TimeKey) DecodeKey(b []byte) (time.Time, error) {
	n, err := IntKey[int64]{}.DecodeKey(b)
	return time.Unix(0, n).UTC(), err
}

func (TimeKey) width() int { return 8 }
