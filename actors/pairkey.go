package actors

import (
	"bytes"
	"errors"
	"fmt"
)

// Pair is a key of two parts, ordered by First and then by Second. One of three parts is a Pair of a Pair.
type Pair[A, B any] struct {
	First  A
	Second B
}

// PairOf returns the Pair of first and second.
func PairOf[A, B any](first A, second B) Pair[A, B] { return Pair[A, B]{first, second} }

// PairKey stores the first part and after it the second, each in the format of its codec. A first part that has
// always 8 bytes (UintKey, IntKey, TimeKey, or a pair of such: 16) stands as it is. In any other each byte 00
// becomes 00 ff, and 00 01 follows it, so that "a" sorts before "ab" whatever comes after: ("a", 1) is
// 61 00 01 80 00 00 00 00 00 00 01.
type PairKey[A, B any] struct {
	first  KeyCodec[A]
	second KeyCodec[B]
}

// NewPairKey returns the codec of pairs whose parts first and second encode. Both must be set.
func NewPairKey[A, B any](first KeyCodec[A], second KeyCodec[B]) PairKey[A, B] {
	return PairKey[A, B]{first, second}
}

// AppendKey implements KeyCodec.
func (p PairKey[A, B]) AppendKey(buf []byte, key Pair[A, B]) ([]byte, error) {
	buf, err := p.appendFirst(buf, key.First)
	if err != nil {
		return nil, err
	}
	buf, err = p.second.AppendKey(buf, key.Second)
	if err != nil {
		return nil, fmt.Errorf("second part: %w", err)
	}
	return buf, nil
}

// Prefix returns the span of the pairs whose first part is first, in the order of the second.
func (p PairKey[A, B]) Prefix(first A) Span[Pair[A, B]] {
	prefix, err := p.appendFirst(nil, first)
	span := Span[Pair[A, B]]{}.Prefix(prefix)
	span.err = err
	return span
}

func (p PairKey[A, B]) appendFirst(buf []byte, first A) ([]byte, error) {
	part, err := p.first.AppendKey(nil, first)
	if err != nil {
		return nil, fmt.Errorf("first part: %w", err)
	}
	if width := widthOf(p.first); width > 0 {
		// A codec that embeds one of ours has its width, but perhaps not its format.
		if len(part) != width {
			return nil, fmt.Errorf("first part: has %d B, want %d B", len(part), width)
		}
		return append(buf, part...), nil
	}
	for _, b := range part {
		buf = append(buf, b)
		if b == 0 {
			buf = append(buf, escaped)
		}
	}
	return append(buf, 0, ended), nil
}

// What follows a byte 00 in a first part: it stands for itself, or the part ends. The end sorts first.
const (
	ended   = 0x01
	escaped = 0xff
)

// DecodeKey implements KeyCodec.
func (p PairKey[A, B]) DecodeKey(b []byte) (key Pair[A, B], err error) {
	first, second, err := p.split(b)
	if err != nil {
		return key, fmt.Errorf("first part: %w", err)
	}
	if key.First, err = p.first.DecodeKey(first); err != nil {
		return key, fmt.Errorf("first part: %w", err)
	}
	if key.Second, err = p.second.DecodeKey(second); err != nil {
		return key, fmt.Errorf("second part: %w", err)
	}
	return key, nil
}

// split returns the two parts as their codecs wrote them.
func (p PairKey[A, B]) split(b []byte) (first, second []byte, err error) {
	if width := widthOf(p.first); width > 0 {
		if len(b) < width {
			return nil, nil, fmt.Errorf("has %d B, want %d B", len(b), width)
		}
		return b[:width], b[width:], nil
	}
	for {
		zero := bytes.IndexByte(b, 0)
		if zero < 0 || zero+1 == len(b) {
			return nil, nil, errors.New("has no end")
		}
		first = append(first, b[:zero]...)
		mark := b[zero+1]
		b = b[zero+2:]
		switch mark {
		case ended:
			return first, b, nil
		case escaped:
			first = append(first, 0)
		default:
			return nil, nil, fmt.Errorf("byte 00 is followed by %02x", mark)
		}
	}
}

// width is that of a whole pair.
func (p PairKey[A, B]) width() int {
	first, second := widthOf(p.first), widthOf(p.second)
	if first == 0 || second == 0 {
		return 0
	}
	return first + second
}

func widthOf[K any](codec KeyCodec[K]) int {
	if fixed, ok := codec.(fixedWidth); ok {
		return fixed.width()
	}
	return 0
}
