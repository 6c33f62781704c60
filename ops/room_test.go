package ops

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabiondb/gabion/messages"
)

// TestRoom: readers have half, and are refused after a time with a hint to come back. Admins have all that is left, and
// no reader takes what they wait for.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom("full", 10, time.Second)
		took := func(who access, amount int64) func() {
			t.Helper()
			back, no := r.take(t.Context(), who, amount)
			if no != nil {
				t.Fatalf("%d of %d: %v", amount, r.used, no)
			}
			return back
		}
		first := took(reader, 3)
		took(reader, 2)
		begun := time.Now()
		if _, no := r.take(t.Context(), reader, 1); no.GetCode() != messages.Code_CODE_RESOURCE_EXHAUSTED || no.GetRetryAfter() == nil || no.GetHint() == "" ||
			time.Since(begun) != time.Second {
			t.Errorf("a reader beyond the half: %v after %v", no, time.Since(begun))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second/2, func() { cancel(errors.New("went away")) })
		if _, no := r.take(ctx, reader, 1); no.GetMessage() != "went away" {
			t.Errorf("a reader who went away: %v", no)
		}
		all := took(admin, 5)
		// More than there is waits for all there is, and readers behind it for their turn.
		var order atomic.Int32
		go func() {
			back := took(admin, 1000)
			if order.Add(1) != 1 {
				t.Error("the whole room came late")
			}
			back()
		}()
		synctest.Wait()
		go func() {
			back := took(reader, 1)
			if order.Add(1) != 2 {
				t.Error("a reader came before the whole room")
			}
			back()
		}()
		synctest.Wait()
		first()
		first() // twice is once
		all()
		synctest.Wait()
		if r.used != [2]int64{0, 2} || order.Load() != 0 {
			t.Errorf("in use are %d, %d came", r.used, order.Load())
		}
		r.mu.Lock()
		r.used[readers] = 0
		r.grant()
		r.mu.Unlock()
		synctest.Wait()
		if r.used != [2]int64{} || order.Load() != 2 || len(r.waiting[others])+len(r.waiting[readers]) != 0 {
			t.Errorf("at the end %d are in use, %d came", r.used, order.Load())
		}
	})
}

// TestRoomQueue: past a number of requests that wait, the answer comes at once.
func TestRoomQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom("full", 2, time.Minute)
		if _, no := r.take(t.Context(), reader, 1); no != nil {
			t.Fatal(no)
		}
		for range mostWaiting {
			go func() { _, _ = r.take(t.Context(), reader, 1) }()
		}
		synctest.Wait()
		begun := time.Now()
		if _, no := r.take(t.Context(), reader, 1); no == nil || time.Since(begun) != 0 {
			t.Errorf("one too many: %v after %v", no, time.Since(begun))
		}
		if _, no := r.take(t.Context(), admin, 1); no != nil {
			t.Errorf("an admin: %v", no)
		}
		// The queue of admins is another one.
		if _, no := r.take(t.Context(), admin, 1); no == nil || time.Since(begun) != time.Minute {
			t.Errorf("an admin who finds no room: %v after %v", no, time.Since(begun))
		}
	})
}

// TestRoomIsFirstComeFirstServed: a small request that would fit waits behind a large one, and no longer than that one does.
func TestRoomIsFirstComeFirstServed(t *testing.T) {
	for name, c := range map[string]struct {
		size       int64
		large, who access
	}{"an admin behind an admin": {10, admin, admin}, "a reader behind an admin": {10, admin, reader}, "a reader behind a reader": {20, reader, reader}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom("full", c.size, time.Minute)
				if _, no := r.take(t.Context(), c.large, 8); no != nil {
					t.Fatal(no)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				go func() { _, _ = r.take(ctx, c.large, 5) }()
				synctest.Wait()
				begun := time.Now()
				if _, no := r.take(t.Context(), c.who, 1); no != nil || time.Since(begun) != time.Second {
					t.Errorf("came after %v: %v", time.Since(begun), no)
				}
			})
		})
	}
}

// TestRoomOfOneWhoLeaves: an amount that is granted to a request in the instant in which it gives up goes to the next.
func TestRoomOfOneWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom("full", 2, time.Minute)
		for range 100 {
			all, no := r.take(t.Context(), admin, 2)
			if no != nil {
				t.Fatal(no)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{}, 2)
			go func() {
				if back, no := r.take(ctx, admin, 2); no == nil {
					back()
				}
				ended <- struct{}{}
			}()
			synctest.Wait()
			begun := time.Now()
			go func() {
				back, no := r.take(t.Context(), admin, 2)
				if no != nil || time.Since(begun) != 0 {
					t.Errorf("the next one came after %v: %v", time.Since(begun), no)
				} else {
					back()
				}
				ended <- struct{}{}
			}()
			synctest.Wait()
			cancel()
			all()
			<-ended
			<-ended
			if n := r.taken(); n != 0 {
				t.Fatalf("%d are in use at the end", n)
			}
		}
	})
}

// TestRoomOfOne has one for a reader, too.
func TestRoomOfOne(t *testing.T) {
	r := newRoom("full", 1, time.Second)
	if _, no := r.take(t.Context(), reader, 1); no != nil || r.taken() != 1 {
		t.Errorf("%d are in use: %v", r.taken(), no)
	}
}

// TestKeyedRooms: each key has a room of its own, which is gone when nobody uses it.
func TestKeyedRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keyedRooms{what: "full", size: 2, patience: time.Second}
		one, no := k.take(t.Context(), reader, "a")
		two, no2 := k.take(t.Context(), reader, "b")
		if no != nil || no2 != nil {
			t.Fatal(no, no2)
		}
		if _, no := k.take(t.Context(), reader, "a"); no == nil {
			t.Error("a second reader came in")
		}
		one()
		two()
		two()
		// One of two who leaves gives up its place, and not the room of the other.
		k.size = 4
		first, _ := k.take(t.Context(), reader, "a")
		second, _ := k.take(t.Context(), reader, "a")
		first()
		third, no := k.take(t.Context(), reader, "a")
		if no != nil {
			t.Fatal(no)
		}
		if _, no := k.take(t.Context(), reader, "a"); no == nil {
			t.Error("a third reader came in beside two")
		}
		second()
		third()
		if len(k.all) != 0 {
			t.Errorf("%d rooms stay", len(k.all))
		}
	})
}

// taken is how much of a room is in use.
func (r *room) taken() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used[others] + r.used[readers]
}
