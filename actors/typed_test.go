package actors_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// counters is a table of counted names.
func (h *host) counters() *actors.Typed[string, int] {
	return actors.NewTyped(h.g.Table("tasks"), actors.StringKey[string]{}, actors.JSON[int]{})
}

// increment is the func of an Update.
func increment(n int, _ bool) (int, error) { return n + 1, nil }

func TestTypedPutGetDelete(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		tasks := actors.NewTyped(h.g.Table("tasks"), actors.IntKey[int]{}, actors.JSON[task]{})
		want := task{Text: "water the plants", Due: time.Unix(1, 2).UTC()}
		seq, err := tasks.Put(h.Context(), -7, want)
		if err != nil || seq != 1 {
			t.Errorf("put = %d, %v", seq, err)
		}
		if got, err := tasks.Get(h.Context(), -7); err != nil || got != want {
			t.Errorf("get = %v, %v, want %v", got, err, want)
		}
		raw, err := tasks.Table().Get(h.Context(), []byte("\x7f\xff\xff\xff\xff\xff\xff\xf9"))
		if err != nil || string(raw) != `{"text":"water the plants","due":"1970-01-01T00:00:01.000000002Z"}` {
			t.Errorf("the table holds %s, %v", raw, err)
		}
		if seq, err := tasks.Delete(h.Context(), -7); err != nil || seq != 2 {
			t.Errorf("delete = %d, %v", seq, err)
		}
		if got, err := tasks.Get(h.Context(), -7); !errors.Is(err, messages.ErrNotFound) || got != (task{}) {
			t.Errorf("get of what was deleted = %v, %v", got, err)
		}
	})
}

// TestTypedRefuses: what a codec or the table refuses is the caller's fault, with a hint where there is one, and
// nothing is written.
func TestTypedRefuses(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		texts := actors.NewTyped(h.g.Table("tasks"), actors.StringKey[string]{}, actors.JSON[float64]{})
		times := actors.NewTyped(h.g.Table("tasks"), actors.TimeKey{}, actors.Raw{})
		ctx, change := h.Context(), func(float64, bool) (float64, error) { return 1, nil }
		_, emptyPut := texts.Put(ctx, "", 1)
		_, emptyDelete := texts.Delete(ctx, "")
		_, emptyGet := texts.Get(ctx, "")
		_, emptyUpdate := texts.Update(ctx, "", change)
		_, longPut := texts.Put(ctx, strings.Repeat("k", messages.MaxKey+1), 1)
		_, zeroPut := times.Put(ctx, time.Time{}, nil)
		for what, err := range map[string]error{"put": emptyPut, "delete": emptyDelete, "get": emptyGet,
			"update": emptyUpdate, "put of a long key": longPut, "put of the zero time": zeroPut} {
			if !errors.Is(err, messages.ErrInvalid) || len(messages.Hints(err)) == 0 {
				t.Errorf("%s = %v, want an invalid request with a hint", what, err)
				continue
			}
			wantText(t, err.Error(), strings.Fields(what)[0]+": ", `"tasks"`)
		}
		_, valuePut := texts.Put(ctx, "key", math.NaN())
		_, valueUpdate := texts.Update(ctx, "key", func(float64, bool) (float64, error) { return math.NaN(), nil })
		for what, err := range map[string]error{"put": valuePut, "update": valueUpdate} {
			if !errors.Is(err, messages.ErrInvalid) || messages.FailureOf(err).GetCode() != messages.Code_CODE_INVALID_ARGUMENT {
				t.Errorf("%s of a bad value = %v", what, err)
				continue
			}
			wantText(t, err.Error(), what+": ", "encode value")
		}
		if seq := h.info("tasks").GetPosition().GetSeq(); seq != 0 {
			t.Errorf("seq = %d, want nothing written", seq)
		}
		missing := actors.NewTyped(h.g.Table("nowhere"), actors.StringKey[string]{}, actors.JSON[float64]{})
		if _, err := missing.Update(ctx, "key", func(float64, bool) (float64, error) {
			t.Error("changed a row of a table that is not served")
			return 1, nil
		}); !errors.Is(err, messages.ErrNotFound) {
			t.Errorf("update of a table that is not served = %v", err)
		}
	})
}

// TestTypedUnreadable: a row that the codec cannot read is named, and can be reached through the table below.
func TestTypedUnreadable(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "visits", "many")
		h.put("tasks", "a\xff", "many")
		h.put("tasks", "a\x00", "many")
		counters := h.counters()
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		for key, name := range map[string]string{"visits": `"visits"`, "a\xff": "0x61ff", "a\x00": "0x6100"} {
			_, getErr := counters.Get(ctx, key)
			_, updateErr := counters.Update(ctx, key, increment)
			for what, err := range map[string]error{"get": getErr, "update": updateErr} {
				var bad *actors.DecodeError
				if !errors.As(err, &bad) || bad.Table != "tasks" || string(bad.Key) != key || bad.Part != "value" || bad.Err == nil {
					t.Errorf("%s = %#v", what, err)
					continue
				}
				wantText(t, err.Error(), what+": ", "decode value of key "+name, "invalid character")
				if len(messages.Hints(err)) != 1 {
					t.Errorf("%s has no hint", what)
				}
			}
			h.wantValue("tasks", key, "many")
			h.put("tasks", key, "7")
			if got, err := counters.Update(ctx, key, increment); err != nil || got != 8 {
				t.Errorf("update after the repair = %d, %v", got, err)
			}
		}
	})
}

func TestUpdate(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		counters := h.counters()
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		seq := func() uint64 { return h.info("tasks").GetPosition().GetSeq() }
		update := func(what string, want int, wantErr error, change func(int, bool) (int, error)) {
			t.Helper()
			if got, err := counters.Update(ctx, "visits", change); got != want || !errors.Is(err, wantErr) {
				t.Errorf("%s = %d, %v, want %d, %v", what, got, err, want, wantErr)
			}
		}
		found := func(wantOld int, want bool, next int, err error) func(int, bool) (int, error) {
			return func(old int, found bool) (int, error) {
				t.Helper()
				if found != want || old != wantOld {
					t.Errorf("change was called with %d, %v, want %d, %v", old, found, wantOld, want)
				}
				return next, err
			}
		}
		enough := errors.New("enough")
		update("update that gives up on an absent row", 0, enough, found(0, false, 1, enough))
		update("update that deletes an absent row", 0, nil, found(0, false, 1, actors.ErrDeleteRow))
		if got := seq(); got != 0 {
			t.Errorf("seq = %d, want nothing written", got)
		}
		update("update of an absent row", 5, nil, found(0, false, 5, nil))
		update("update", 6, nil, found(5, true, 6, nil))
		update("update that gives up", 0, enough, found(6, true, 7, enough))
		// Its own failed condition is change's affair, not a reason to call it again.
		update("update whose change fails as a Write does", 0, messages.ErrConditionFailed,
			found(6, true, 7, messages.ErrConditionFailed))
		h.wantValue("tasks", "visits", "6")
		update("update that changes nothing", 6, nil, found(6, true, 6, nil))
		if got := seq(); got != 2 {
			t.Errorf("seq = %d, want 2: what changes nothing is not written", got)
		}
		update("update that deletes", 0, nil, found(6, true, 7, fmt.Errorf("no longer needed: %w", actors.ErrDeleteRow)))
		h.wantValue("tasks", "visits", "")
	})
}

// TestUpdateComparesBytes: a row that the codec would encode otherwise is updated, and deleted, all the same.
func TestUpdateComparesBytes(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		tasks := actors.NewTyped(h.g.Table("tasks"), actors.StringKey[string]{}, actors.JSON[task]{})
		odd := `{ "runs": 1, "unknown": true }`
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		h.put("tasks", "a", odd)
		h.put("tasks", "b", odd)
		if _, err := tasks.Update(ctx, "a", func(v task, _ bool) (task, error) { v.Runs++; return v, nil }); err != nil {
			t.Error(err)
		}
		if _, err := tasks.Update(ctx, "b", func(v task, _ bool) (task, error) { return v, actors.ErrDeleteRow }); err != nil {
			t.Error(err)
		}
		h.wantValue("tasks", "a", `{"text":"","runs":2}`)
		h.wantValue("tasks", "b", "")
	})
}

// TestUpdateMayChangeOld: what change does to the old value does not reach the condition.
func TestUpdateMayChangeOld(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		raw := actors.NewTyped(h.g.Table("tasks"), actors.StringKey[string]{}, actors.Raw{})
		h.put("tasks", "key", "old")
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		got, err := raw.Update(ctx, "key", func(old []byte, _ bool) ([]byte, error) { return append(old[:0], "new"...), nil })
		if err != nil || string(got) != "new" {
			t.Errorf("update = %q, %v", got, err)
		}
		h.wantValue("tasks", "key", "new")
	})
}

// TestUpdateContended: increments by many goroutines, on one handle and on many, are all counted, each once; so are
// those beside deletes.
func TestUpdateContended(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		const goroutines, each = 20, 10
		shared := h.counters()
		var wg sync.WaitGroup
		var mu sync.Mutex
		calls, taken := 0, 0
		for i := range goroutines {
			wg.Go(func() {
				own := h.counters()
				for j := range each {
					counters := own
					if (i+j)%2 == 0 {
						counters = shared
					}
					_, err := counters.Update(h.Context(), "visits", func(n int, _ bool) (int, error) {
						mu.Lock()
						calls++
						mu.Unlock()
						return n + 1, nil
					})
					if err != nil {
						t.Errorf("update: %v", err)
					}
				}
				if i%4 == 0 {
					var old int
					_, err := own.Update(h.Context(), "visits", func(n int, _ bool) (int, error) { old = n; return 0, actors.ErrDeleteRow })
					if err != nil {
						t.Errorf("delete: %v", err)
					}
					mu.Lock()
					taken += old
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		left, err := shared.Get(h.Context(), "visits")
		if err != nil && !errors.Is(err, messages.ErrNotFound) {
			t.Fatal(err)
		}
		if left+taken != goroutines*each || calls <= goroutines*each {
			t.Errorf("counted %d and %d taken with %d calls, want %d with more calls than that", left, taken, calls, goroutines*each)
		}
	})
}

// TestUpdateEndsWithContext: an Update that is overtaken each time goes on until its context ends, with growing
// pauses, and is known to have written nothing.
func TestUpdateEndsWithContext(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		counters := h.counters()
		ctx, cancel := context.WithTimeout(h.Context(), 10*time.Second)
		defer cancel()
		tries, start, last := 0, time.Now(), time.Now()
		var longest time.Duration
		_, err := counters.Update(ctx, "visits", func(n int, _ bool) (int, error) {
			longest = max(longest, time.Since(last))
			tries++
			h.put("tasks", "visits", fmt.Sprint(-tries))
			last = time.Now()
			return 1, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, messages.ErrConditionFailed) || errors.Is(err, messages.ErrOutcomeUnknown) {
			t.Errorf("update = %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("update ended after %v, want the 10s of its context", took)
		}
		h.wantValue("tasks", "visits", fmt.Sprint(-tries))
		// Up to 64 ms, half of it in the mean: about 310.
		if tries < 200 || tries > 600 || longest > 64*time.Millisecond || longest < 32*time.Millisecond {
			t.Errorf("%d tries in 10s, the longest pause was %v", tries, longest)
		}
	})
}

// TestUpdateOutcomeUnknown: a change that may have been carried out is not carried out again.
func TestUpdateOutcomeUnknown(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		counters, calls := h.counters(), 0
		change := func(n int, _ bool) (int, error) { calls++; return n + 1, nil }
		if _, err := counters.Put(h.Context(), "visits", 1); err != nil {
			t.Fatal(err)
		}
		repair := h.fs.fail(walSync("tasks"))
		if got, err := counters.Update(h.Context(), "visits", change); got != 0 || !errors.Is(err, messages.ErrOutcomeUnknown) || !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("update on a failing disk = %d, %v", got, err)
		}
		repair()
		pass(time.Second)
		h.settle()
		before, err := counters.Get(h.Context(), "visits")
		if err != nil {
			t.Fatal(err)
		}

		release := h.fs.hang(t, walSync("tasks"))
		ctx, cancel := context.WithCancel(h.Context())
		left := async(func() (string, error) { _, err := counters.Update(ctx, "visits", change); return "", err })
		h.settle()
		left.pending(h, "update")
		cancel()
		h.settle()
		left.wantError(h, "update that was left", messages.ErrOutcomeUnknown, context.Canceled)
		release()
		h.settle()
		if got, err := counters.Get(h.Context(), "visits"); err != nil || got != before+1 {
			t.Errorf("get = %d, %v, want %d", got, err, before+1)
		}
		if calls != 2 {
			t.Errorf("change was called %d times, want once by each Update", calls)
		}
	})
}

// TestTypedInsert: only the first of two inserts of a key is carried out; the encoded row is what the table holds.
func TestTypedInsert(t *testing.T) {
	h := newHost(t, actors.Config{})
	tasks := actors.NewTyped(h.g.Table("tasks"), actors.StringKey[string]{}, actors.JSON[int]{})
	if seq, err := tasks.Insert(h.Context(), "a", 1); seq != 1 || err != nil {
		t.Errorf("insert: %d, %v", seq, err)
	}
	if _, err := tasks.Insert(h.Context(), "a", 2); !errors.Is(err, messages.ErrConditionFailed) {
		t.Errorf("second insert: %v", err)
	}
	if _, err := tasks.Insert(h.Context(), "", 2); !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("insert of an empty key: %v", err)
	}
	key, errKey := tasks.EncodeKey("a")
	value, errValue := tasks.EncodeValue(1)
	stored, err := tasks.Table().Get(h.Context(), key)
	if err := errors.Join(errKey, errValue, err); err != nil || !bytes.Equal(value, stored) {
		t.Errorf("the table holds %q, encoded is %q, %v", stored, value, err)
	}
	moved := &messages.Write{
		Conditions: []*messages.Condition{messages.IfEquals(key, value), messages.IfAbsent([]byte("b"))},
		Ops:        []*messages.Op{messages.PutOp([]byte("b"), value), messages.DeleteOp(key), messages.DeleteRangeOp([]byte("x"), []byte("z"))},
	}
	if _, err := tasks.Table().Write(h.Context(), moved); err != nil {
		t.Errorf("move: %v", err)
	}
	if n, err := tasks.Get(h.Context(), "b"); n != 1 || err != nil {
		t.Errorf("moved: %d, %v", n, err)
	}
	if _, err := tasks.Get(h.Context(), "a"); !errors.Is(err, messages.ErrNotFound) {
		t.Errorf("moved away: %v", err)
	}
}
