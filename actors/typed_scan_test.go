package actors_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// texts is a table of strings, filled with the keys as their own values.
func (h *host) texts(keys ...string) *actors.Typed[string, []byte] {
	h.Helper()
	texts := actors.NewTyped(h.g.Table("tasks"), actors.StringKey[string]{}, actors.Raw{})
	write := &messages.Write{}
	for _, key := range keys {
		write.Ops = append(write.Ops, putOp(key, key))
	}
	if len(keys) > 0 {
		if _, err := texts.Table().Write(h.Context(), write); err != nil {
			h.Fatalf("write: %v", err)
		}
	}
	return texts
}

// scanned collects the keys of a scan and its error, which must be the last and come without a row.
func scanned[V any](h *host, rows iter.Seq2[actors.Row[string, V], error]) (keys []string, err error) {
	h.Helper()
	for row, e := range rows {
		if err != nil {
			h.Errorf("after the error %v came %v, %v", err, row, e)
		}
		if err = e; err == nil {
			keys = append(keys, row.Key)
		} else if row.Key != "" {
			h.Errorf("%v came with the error %v", row, err)
		}
	}
	return keys, err
}

func TestTypedScan(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		texts, ctx := h.texts("a", "ab", "ab\x00", "ab\xff", "ab\xff\xff", "ac", "b", "\xff"), h.Context()
		span, prefix := actors.Span[string]{}, actors.StringKey[string]{}.Prefix
		for _, c := range []struct {
			what string
			rows iter.Seq2[actors.Row[string, []byte], error]
			want string
		}{
			{"all", texts.All(ctx), "a,ab,ab\x00,ab\xff,ab\xff\xff,ac,b,\xff"},
			{"reverse", texts.Scan(ctx, span.Reverse()), "\xff,b,ac,ab\xff\xff,ab\xff,ab\x00,ab,a"},
			{"range", texts.Range(ctx, "ab", "b"), "ab,ab\x00,ab\xff,ab\xff\xff,ac"},
			{"range of no key", texts.Range(ctx, "b", "b"), ""},
			{"range backwards", texts.Range(ctx, "b", "a"), ""},
			{"range between keys", texts.Range(ctx, "aa", "ab"), ""},
			{"range from the empty key", texts.Range(ctx, "", "ab"), "a"},
			{"range to the empty key", texts.Range(ctx, "", ""), ""},
			{"range in reverse", texts.Scan(ctx, span.From("ac").To("\xff").Reverse()), "b,ac"},
			{"from", texts.Scan(ctx, span.From("ac")), "ac,b,\xff"},
			{"to", texts.Scan(ctx, span.To("ab")), "a"},
			{"limit", texts.Scan(ctx, span.Limit(2)), "a,ab"},
			{"limit in reverse", texts.Scan(ctx, span.Reverse().Limit(2)), "\xff,b"},
			{"limit beyond the end", texts.Scan(ctx, span.From("b").Limit(3)), "b,\xff"},
			{"no limit", texts.Scan(ctx, span.From("ac").Limit(1).Limit(0)), "ac,b,\xff"},
			{"negative limit", texts.Scan(ctx, span.From("ac").Limit(-1)), "ac,b,\xff"},
			{"prefix", texts.Scan(ctx, prefix("ab")), "ab,ab\x00,ab\xff,ab\xff\xff"},
			{"prefix of the last bytes", texts.Scan(ctx, prefix("ab\xff")), "ab\xff,ab\xff\xff"},
			{"prefix of the last key", texts.Scan(ctx, prefix("\xff")), "\xff"},
			{"prefix of none", texts.Scan(ctx, prefix("abc")), ""},
			{"empty prefix", texts.Scan(ctx, prefix("").Limit(1)), "a"},
			{"prefix and range", texts.Scan(ctx, prefix("ab").From("ab\x00").To("ab\xff\xff").Reverse()), "ab\xff,ab\x00"},
			{"prefix beyond the range", texts.Scan(ctx, prefix("a").From("0").To("ab")), "a"},
		} {
			for range 2 { // a sequence may be gone through again
				if got, err := scanned(h, c.rows); strings.Join(got, ",") != c.want || err != nil {
					t.Errorf("%s: %q, %v, want %q", c.what, got, err, c.want)
				}
			}
		}
	})
}

// TestSpanIsAValue: narrowing a Span leaves the one it came from.
func TestSpanIsAValue(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		texts := h.texts("a", "b", "c")
		prefix := []byte("b")
		span := actors.Span[string]{}.Prefix(prefix)
		prefix[0] = 'c'
		_, _, _, _ = span.From("x"), span.To("a"), span.Limit(1).Reverse(), span.Prefix(nil)
		if got, err := scanned(h, texts.Scan(h.Context(), span)); fmt.Sprint(got) != "[b]" || err != nil {
			t.Errorf("scanned %q, %v", got, err)
		}
	})
}

// TestPrefixOfPairs: the rows of one first part, whatever it contains, in the order of the second.
func TestPrefixOfPairs(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		codec := actors.NewPairKey(actors.StringKey[string]{}, actors.IntKey[int]{})
		pairs := actors.NewTyped(h.g.Table("tasks"), codec, actors.JSON[int]{})
		firsts := []string{"", "\x00", "a", "a\x00", "a\x00\x01", "ab", "\xff"}
		for _, first := range firsts {
			for _, second := range []int{300, -1, 0} {
				if _, err := pairs.Put(h.Context(), actors.PairOf(first, second), second); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, first := range firsts {
			var got []int
			for row, err := range pairs.Scan(h.Context(), codec.Prefix(first).Reverse()) {
				if err != nil || row.Key != actors.PairOf(first, row.Value) {
					t.Fatalf("row %v, %v", row, err)
				}
				got = append(got, row.Value)
			}
			if fmt.Sprint(got) != "[300 0 -1]" {
				t.Errorf("prefix %q: %v", first, got)
			}
		}
	})
}

// TestTypedScanIsTheModel compares scans of random spans with the same over a slice, across pages.
func TestTypedScanIsTheModel(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		var model []string
		for i := range 1500 {
			model = append(model, fmt.Sprintf("%03x", i))
		}
		texts := h.texts(model...)
		rapid.Check(t, func(t *rapid.T) {
			key := rapid.StringOfN(rapid.SampledFrom([]rune("0123456789abcdef")), 0, 4, -1)
			span, want := actors.Span[string]{}, slices.Clone(model)
			prefix := key.Draw(t, "prefix")
			if len(prefix) < 2 {
				span = actors.StringKey[string]{}.Prefix(prefix)
				want = slices.DeleteFunc(want, func(k string) bool { return !strings.HasPrefix(k, prefix) })
			}
			if rapid.Bool().Draw(t, "is from") {
				from := key.Draw(t, "from")
				span = span.From(from)
				want = slices.DeleteFunc(want, func(k string) bool { return k < from })
			}
			if rapid.Bool().Draw(t, "is to") {
				to := key.Draw(t, "to")
				span = span.To(to)
				want = slices.DeleteFunc(want, func(k string) bool { return k >= to })
			}
			if rapid.Bool().Draw(t, "reverse") {
				span = span.Reverse()
				slices.Reverse(want)
			}
			if limit := rapid.SampledFrom([]int{0, 1, 63, 64, 65, 600, 2000}).Draw(t, "limit"); limit > 0 {
				span = span.Limit(limit)
				want = want[:min(limit, len(want))]
			}
			if got, err := scanned(h, texts.Scan(h.Context(), span)); !slices.Equal(got, want) || err != nil {
				t.Fatalf("%d rows, %v, want %d: %q and %q", len(got), err, len(want), got, want)
			}
		})
	})
}

// TestScanIsOfOneInstant: a loop does not see what it writes, the next does, and each row is the caller's own.
func TestScanIsOfOneInstant(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		texts := h.texts("a", "b")
		rows := texts.All(h.Context())
		for _, want := range []string{"[a b]", "[a aX b bX]"} {
			var got []string
			for row, err := range rows {
				if err != nil || string(row.Value) != row.Key {
					t.Fatalf("row %q is %q, %v", row.Key, row.Value, err)
				}
				got = append(got, row.Key)
				if _, err := texts.Put(h.Context(), row.Key+"X", []byte(row.Key+"X")); err != nil {
					t.Fatal(err)
				}
				row.Value[0] = 'X'
			}
			if fmt.Sprint(got) != want {
				t.Errorf("scanned %v, want %s", got, want)
			}
		}
	})
}

// TestScanLetsGo: however a loop ends, it lets the table close.
func TestScanLetsGo(t *testing.T) {
	endings := map[string]func(iter.Seq2[actors.Row[string, []byte], error]){
		"break": func(rows iter.Seq2[actors.Row[string, []byte], error]) {
			for range rows {
				break
			}
		},
		"panic": func(rows iter.Seq2[actors.Row[string, []byte], error]) {
			defer func() { _ = recover() }()
			for range rows {
				panic("the caller's")
			}
		},
		"pull": func(rows iter.Seq2[actors.Row[string, []byte], error]) {
			next, stop := iter.Pull2(rows)
			_, _, _ = next()
			stop()
		},
		"end": func(rows iter.Seq2[actors.Row[string, []byte], error]) {
			for range rows {
			}
		},
		"no loop": func(iter.Seq2[actors.Row[string, []byte], error]) {},
	}
	for what, end := range endings {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				end(h.texts("a", "b", "c").All(h.Context()))
				end(h.texts().Scan(h.Context(), actors.Span[string]{}.Limit(1)))
				if n := h.g.Snapshots("tasks"); n != 0 {
					t.Errorf("%d snapshots are open", n)
				}
			})
		})
	}
}

// TestScanOfClosingTable: a loop keeps no table from closing; its next page ends it.
func TestScanOfClosingTable(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		var keys []string
		for i := range 1000 {
			keys = append(keys, fmt.Sprint(i))
		}
		texts := h.texts(keys...)
		var closing *call
		rows := 0
		var last error
		for _, err := range texts.All(h.Context()) {
			if closing == nil {
				closing = async(func() (string, error) { return "", h.g.CloseTable(h.Context(), "tasks") })
				h.settle()
				closing.want(h, "close table", "")
			}
			rows++
			last = err
		}
		if rows >= 1000 || !errors.Is(last, messages.ErrUnavailable) {
			t.Errorf("%d rows, the last with %v", rows, last)
		}
	})
}

func TestScanErrors(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		texts := h.texts("a", "b", "c")
		want := func(what string, rows int, got []string, err error, target error, parts ...string) {
			t.Helper()
			if len(got) != rows || !errors.Is(err, target) {
				t.Errorf("%s: %q, %v, want %d rows and %v", what, got, err, rows, target)
			} else {
				wantText(t, err.Error(), append(parts, "scan: ")...)
			}
		}
		ctx, cancel := context.WithCancel(h.Context())
		ending := func(yield func(actors.Row[string, []byte], error) bool) {
			for row, err := range texts.All(ctx) {
				if row.Key == "b" {
					cancel()
				}
				if !yield(row, err) {
					return
				}
			}
		}
		got, err := scanned(h, ending)
		want("context that ends", 2, got, err, context.Canceled)
		got, err = scanned(h, texts.All(ctx))
		want("ended context", 0, got, err, context.Canceled)

		// Rows that others wrote stop the scan where they are.
		numbers := actors.NewTyped(h.g.Table("tasks"), actors.StringKey[string]{}, actors.JSON[int]{})
		h.put("tasks", "a", "1")
		got, err = scanned(h, numbers.All(h.Context()))
		var bad *actors.DecodeError
		if !errors.As(err, &bad) || string(bad.Key) != "b" || bad.Part != "value" {
			t.Errorf("scan of bad values = %#v", err)
		}
		want("bad value", 1, got, err, bad, `table "tasks": decode value of key "b": `)
		picky := actors.NewTyped(h.g.Table("tasks"), actors.IntKey[int]{}, actors.Raw{})
		for row, err := range picky.All(h.Context()) {
			if !errors.As(err, &bad) || string(bad.Key) != "a" || bad.Part != "key" || row.Key != 0 {
				t.Errorf("scan of bad keys = %v, %#v", row, err)
			}
			wantText(t, err.Error(), `table "tasks": decode key "a": has 1 B, want 8 B`)
		}
		h.put("tasks", "\x80\x00\x00\x00\x00\x00\x01\x01", "257")
		small := actors.NewTyped(h.g.Table("tasks"), actors.IntKey[int8]{}, actors.Raw{})
		for row, err := range small.Scan(h.Context(), actors.Span[int8]{}.From(0)) {
			if err == nil || row.Key != 0 {
				t.Errorf("scan of a key that is too large = %v, %v", row, err)
			}
		}

		// Bounds that no codec takes.
		times := actors.NewTyped(h.g.Table("tasks"), actors.TimeKey{}, actors.Raw{})
		pairs := actors.NewPairKey(actors.TimeKey{}, actors.StringKey[string]{})
		paired := actors.NewTyped(h.g.Table("tasks"), pairs, actors.Raw{})
		invalid := map[string]error{}
		for _, err := range times.Range(h.Context(), time.Time{}, time.Now()) {
			invalid["start"] = err
		}
		for _, err := range times.Scan(h.Context(), actors.Span[time.Time]{}.To(time.Time{})) {
			invalid["end"] = err
		}
		for _, err := range paired.Scan(h.Context(), pairs.Prefix(time.Time{})) {
			invalid["prefix"] = err
		}
		for _, part := range []string{"start", "end", "prefix"} {
			want("bad "+part, 0, nil, invalid[part], messages.ErrInvalid, "encode "+part)
		}

		missing := actors.NewTyped(h.g.Table("nowhere"), actors.StringKey[string]{}, actors.Raw{})
		got, err = scanned(h, missing.All(h.Context()))
		want("table that is not served", 0, got, err, messages.ErrNotFound)
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		got, err = scanned(h, texts.All(h.Context()))
		want("closed table", 0, got, err, messages.ErrUnavailable)
	})
}

// TestScanReadsWhatItNeeds: the first row of many costs no page of many.
func TestScanReadsWhatItNeeds(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		var keys []string
		for i := range 5000 {
			keys = append(keys, fmt.Sprint(i))
		}
		texts := h.texts(keys...)
		for what, span := range map[string]actors.Span[string]{"break": {}, "limit": actors.Span[string]{}.Reverse().Limit(1)} {
			// A row is three allocations.
			if n := testing.AllocsPerRun(3, func() {
				for range texts.Scan(h.Context(), span) {
					break
				}
			}); n > 1000 {
				t.Errorf("%s: one row of 5000 took %v allocations", what, n)
			}
		}
	})
}
