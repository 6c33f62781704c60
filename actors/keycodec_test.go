package actors_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

type (
	taskID   string
	priority int8
	shard    uint16
)

// keys draws two keys at a time, often neighbours, and wants their bytes in the order that compare gives the keys,
// and each key back from its bytes, also from behind others in a buffer.
func keys[K any](t *testing.T, codec actors.KeyCodec[K], gen *rapid.Generator[K], compare func(a, b K) int) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		encoded := func(k K) []byte {
			buf, err := codec.AppendKey([]byte("before"), k)
			if err != nil {
				t.Fatalf("encode %v: %v", k, err)
			}
			encoded, found := bytes.CutPrefix(buf, []byte("before"))
			if !found {
				t.Fatalf("encode %v lost what was before: %x", k, buf)
			}
			back, err := codec.DecodeKey(bytes.Clone(encoded))
			if err != nil || compare(back, k) != 0 {
				t.Fatalf("%v became %x, and that %v, %v", k, encoded, back, err)
			}
			return encoded
		}
		if got, want := bytes.Compare(encoded(a), encoded(b)), compare(a, b); got != want {
			t.Fatalf("%v and %v compare %d, their bytes %x and %x %d", a, b, want, encoded(a), encoded(b), got)
		}
	})
}

// few is strings of few different bytes, those that an encoding may treat apart, so that prefixes are common.
func few() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff}), 0, 5),
		func(b []byte) string { return string(b) })
}

// near is integers of which many are neighbours or at an end.
func near[K ~int | ~int8 | ~int64](lowest, highest K) *rapid.Generator[K] {
	return rapid.OneOf(
		rapid.SampledFrom([]K{lowest, lowest + 1, -1, 0, 1, highest - 1, highest}),
		rapid.Map(rapid.Int64(), func(n int64) K { return K(n) }))
}

func times() *rapid.Generator[time.Time] {
	zones := []*time.Location{time.UTC, time.FixedZone("east", 14*3600), time.FixedZone("west", -12*3600)}
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(0, near[int64](math.MinInt64, math.MaxInt64).Draw(t, "nanoseconds")).
			In(rapid.SampledFrom(zones).Draw(t, "zone"))
	})
}

func TestKeysSortAsTheirBytes(t *testing.T) {
	t.Run("string", func(t *testing.T) {
		gen := rapid.Map(rapid.OneOf(few(), rapid.String()), func(s string) taskID { return taskID(s) })
		keys(t, actors.StringKey[taskID]{}, gen, cmp.Compare[taskID])
	})
	t.Run("bytes", func(t *testing.T) {
		keys(t, actors.BytesKey{}, rapid.Map(few(), func(s string) []byte { return []byte(s) }), bytes.Compare)
	})
	t.Run("int", func(t *testing.T) {
		keys(t, actors.IntKey[int64]{}, near[int64](math.MinInt64, math.MaxInt64), cmp.Compare[int64])
		keys(t, actors.IntKey[int]{}, near(math.MinInt, math.MaxInt), cmp.Compare[int])
		keys(t, actors.IntKey[priority]{}, near[priority](-128, 127), cmp.Compare[priority])
	})
	t.Run("uint", func(t *testing.T) {
		keys(t, actors.UintKey[uint64]{}, rapid.Uint64(), cmp.Compare[uint64])
		keys(t, actors.UintKey[shard]{}, rapid.Map(rapid.Uint16(), func(n uint16) shard { return shard(n) }), cmp.Compare[shard])
	})
	t.Run("time", func(t *testing.T) { keys(t, actors.TimeKey{}, times(), time.Time.Compare) })
}

// pairs makes a generator and an order of pairs from those of the parts.
func pairs[A, B any](a *rapid.Generator[A], b *rapid.Generator[B]) *rapid.Generator[actors.Pair[A, B]] {
	return rapid.Custom(func(t *rapid.T) actors.Pair[A, B] { return actors.PairOf(a.Draw(t, "first"), b.Draw(t, "second")) })
}

func comparePairs[A, B any](a func(x, y A) int, b func(x, y B) int) func(x, y actors.Pair[A, B]) int {
	return func(x, y actors.Pair[A, B]) int { return cmp.Or(a(x.First, y.First), b(x.Second, y.Second)) }
}

func TestPairsSortAsTheirBytes(t *testing.T) {
	text, number := actors.StringKey[string]{}, actors.IntKey[int64]{}
	numbers := near[int64](math.MinInt64, math.MaxInt64)
	texts, ints := cmp.Compare[string], cmp.Compare[int64]
	t.Run("string int", func(t *testing.T) {
		keys(t, actors.NewPairKey(text, number), pairs(few(), numbers), comparePairs(texts, ints))
	})
	t.Run("string string", func(t *testing.T) {
		keys(t, actors.NewPairKey(text, text), pairs(few(), few()), comparePairs(texts, texts))
	})
	t.Run("time string", func(t *testing.T) {
		keys(t, actors.NewPairKey(actors.TimeKey{}, text), pairs(times(), few()), comparePairs(time.Time.Compare, texts))
	})
	t.Run("bytes bytes", func(t *testing.T) {
		raw := rapid.Map(few(), func(s string) []byte { return []byte(s) })
		keys(t, actors.NewPairKey(actors.BytesKey{}, actors.BytesKey{}), pairs(raw, raw), comparePairs(bytes.Compare, bytes.Compare))
	})
	t.Run("three parts, the pair first", func(t *testing.T) {
		keys(t, actors.NewPairKey(actors.NewPairKey(text, number), text),
			pairs(pairs(few(), numbers), few()), comparePairs(comparePairs(texts, ints), texts))
		keys(t, actors.NewPairKey(actors.NewPairKey(number, number), text),
			pairs(pairs(numbers, numbers), few()), comparePairs(comparePairs(ints, ints), texts))
		keys(t, actors.NewPairKey(actors.NewPairKey(number, text), text),
			pairs(pairs(numbers, few()), few()), comparePairs(comparePairs(ints, texts), texts))
	})
	t.Run("three parts, the pair second", func(t *testing.T) {
		keys(t, actors.NewPairKey(text, actors.NewPairKey(text, number)),
			pairs(few(), pairs(few(), numbers)), comparePairs(texts, comparePairs(texts, ints)))
	})
}

// TestKeyFormats: the bytes lie on disks, and never change.
func TestKeyFormats(t *testing.T) {
	text, number := actors.StringKey[string]{}, actors.IntKey[int64]{}
	at := time.Date(2026, 2, 11, 14, 30, 0, 1, time.FixedZone("", 3600))
	want := func(want string) func([]byte, error) {
		return func(got []byte, err error) {
			t.Helper()
			if fmt.Sprintf("% x", got) != want || err != nil {
				t.Errorf("encoded % x, %v, want %s", got, err, want)
			}
		}
	}
	want("61 00 ff")(text.AppendKey(nil, "a\x00\xff"))
	want("")(text.AppendKey(nil, ""))
	want("00 61")(actors.BytesKey{}.AppendKey(nil, []byte("\x00a")))
	want("00 00 00 00 00 00 01 02")(actors.UintKey[uint16]{}.AppendKey(nil, 258))
	want("7f ff ff ff ff ff ff ff")(number.AppendKey(nil, -1))
	want("80 00 00 00 00 00 00 00")(actors.IntKey[int8]{}.AppendKey(nil, 0))
	want("7f ff ff ff ff ff ff ff")(actors.TimeKey{}.AppendKey(nil, time.Unix(0, -1)))
	want("98 93 34 50 c5 5d 70 01")(actors.TimeKey{}.AppendKey(nil, at))
	want("61 00 01 80 00 00 00 00 00 00 01")(actors.NewPairKey(text, number).AppendKey(nil, actors.PairOf("a", int64(1))))
	want("61 00 ff 62 00 01 63 00")(actors.NewPairKey(text, text).AppendKey(nil, actors.PairOf("a\x00b", "c\x00")))
	want("80 00 00 00 00 00 00 01 61")(actors.NewPairKey(number, text).AppendKey(nil, actors.PairOf(int64(1), "a")))
}

func TestTimeKeyHasAnEnd(t *testing.T) {
	first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	for _, at := range []time.Time{{}, first.Add(-1), last.Add(1), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got, err := (actors.TimeKey{}).AppendKey(nil, at); err == nil || len(messages.Hints(err)) == 0 {
			t.Errorf("%v became %x, %v, want an error with a hint", at, got, err)
		} else {
			wantText(t, err.Error(), "1677-09-21T00:12:43.145224192Z", "2262-04-11T23:47:16.854775807Z")
		}
	}
	now := time.Now()
	encoded, err := actors.TimeKey{}.AppendKey(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := (actors.TimeKey{}).DecodeKey(encoded); err != nil || back != now.Round(0).UTC() {
		t.Errorf("%v came back as %v, %v", now, back, err)
	}
}

// embedding has the width of what it embeds, and another format.
type embedding struct{ actors.IntKey[int] }

func (embedding) AppendKey(buf []byte, key int) ([]byte, error) { return fmt.Append(buf, key), nil }

// picky refuses every key.
type picky struct{ actors.StringKey[string] }

var errPicky = errors.New("not this one")

func (picky) AppendKey([]byte, string) ([]byte, error) { return nil, errPicky }

func TestPairKeyRefuses(t *testing.T) {
	text := actors.StringKey[string]{}
	_, err := actors.NewPairKey(embedding{}, text).AppendKey(nil, actors.PairOf(7, "a"))
	if err == nil {
		t.Error("a first part of another width was taken")
	}
	if _, err := actors.NewPairKey(picky{}, text).AppendKey(nil, actors.PairOf("a", "b")); !errors.Is(err, errPicky) {
		t.Errorf("first part refused: %v", err)
	}
	if _, err := actors.NewPairKey(text, picky{}).AppendKey(nil, actors.PairOf("a", "b")); !errors.Is(err, errPicky) {
		t.Errorf("second part refused: %v", err)
	}
}

// TestForeignKeys: bytes that no key has are an error, not another key.
func TestForeignKeys(t *testing.T) {
	wantError := func(name string, decode func([]byte) (any, error), keys ...string) {
		for _, key := range keys {
			if got, err := decode([]byte(key)); err == nil {
				t.Errorf("%s decoded %q as %v", name, key, got)
			}
		}
	}
	wantError("int8", erased(actors.IntKey[int8]{}), "", "1234567", "123456789",
		"\x80\x00\x00\x00\x00\x00\x00\x80", "\x7f\xff\xff\xff\xff\xff\xff\x7f", "\x00\x00\x00\x00\x00\x00\x00\x00")
	wantError("uint8", erased(actors.UintKey[uint8]{}), "", "123456789", "\x00\x00\x00\x00\x00\x00\x01\x00")
	wantError("time", erased(actors.TimeKey{}), "", "123456789")
	text, number := actors.StringKey[string]{}, actors.IntKey[int]{}
	wantError("string int", erased(actors.NewPairKey(text, number)), "", "a", "a\x00", "a\x00\x00", "a\x00\x02\x00\x0112345678",
		"a\x00\xff", "a\x00\x01", "a\x00\x011234567", "a\x00\x01123456789")
	wantError("int string", erased(actors.NewPairKey(number, text)), "", "1234567")
	wantError("int8 string", erased(actors.NewPairKey(actors.IntKey[int8]{}, text)), "12345678")
}

func erased[K any](codec actors.KeyCodec[K]) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return codec.DecodeKey(b) }
}

// TestDecodedPartsAreApart: what is appended to one part does not reach the other.
func TestDecodedPartsAreApart(t *testing.T) {
	codec := actors.NewPairKey(actors.BytesKey{}, actors.BytesKey{})
	want := actors.PairOf([]byte("first"), []byte("second"))
	encoded, err := codec.AppendKey(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := codec.DecodeKey(encoded)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(got.First, "XXXXXXXX"...)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %s, want %s", got, want)
	}
}
