package ops

import (
	"context"
	"sync"
	"time"

	"github.com/gabiondb/gabion/messages"
)

const (
	// roomPatience is how long a request waits for room, before it is answered RESOURCE_EXHAUSTED.
	roomPatience = 5 * time.Second
	// mostWaiting is how many readers, and how many others, may wait for one room. Each holds a goroutine and the head of its request.
	mostWaiting = 1024
)

// room is an amount, of bytes or of requests, that all requests of one time share. Readers have half of it: the other
// half is kept for admins. Each of the two is served in the order in which its requests come.
type room struct {
	what     string // what there is no room for, in the answer
	size     int64
	patience time.Duration

	mu      sync.Mutex
	used    [2]int64 // by class
	waiting [2][]*waiting
}

// waiting is a request that waits for its amount. granted is closed once it has it.
type waiting struct {
	amount  int64
	granted chan struct{}
}

// The classes of a room.
const (
	others = iota
	readers
)

func newRoom(what string, size int64, patience time.Duration) *room {
	return &room{what: what, size: size, patience: patience}
}

// take waits for an amount, and returns what gives it back. More than there is becomes all there is: such a request goes alone.
func (r *room) take(ctx context.Context, who access, amount int64) (back func(), no *messages.Failure) {
	class := others
	if who < admin {
		class = readers
	}
	amount = min(amount, r.share(class))
	r.mu.Lock()
	if len(r.waiting[others]) == 0 && len(r.waiting[class]) == 0 && r.fits(class, amount) {
		r.used[class] += amount
		r.mu.Unlock()
		return r.giver(class, amount), nil
	}
	if len(r.waiting[class]) >= mostWaiting {
		r.mu.Unlock()
		return nil, r.refusal()
	}
	w := &waiting{amount, make(chan struct{})}
	r.waiting[class] = append(r.waiting[class], w)
	r.mu.Unlock()
	late := time.NewTimer(r.patience)
	defer late.Stop()
	select {
	case <-w.granted:
		return r.giver(class, amount), nil
	case <-ctx.Done():
		no = messages.FailureOf(context.Cause(ctx))
	case <-late.C:
		no = r.refusal()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.waiting[class] {
		if other == w {
			r.waiting[class] = append(r.waiting[class][:i], r.waiting[class][i+1:]...)
			r.grant() // those behind may have less to wait for
			return nil, no
		}
	}
	// It was granted at the same instant.
	r.used[class] -= amount
	r.grant()
	return nil, no
}

func (r *room) refusal() *messages.Failure {
	return messages.Failf(messages.Code_CODE_RESOURCE_EXHAUSTED, "%s", r.what).After(time.Second).
		Advise("send fewer requests at a time; nothing was done for this one")
}

// share is the most that a class may have.
func (r *room) share(class int) int64 {
	if class == readers {
		return max(1, r.size/2)
	}
	return r.size
}

// fits tells whether a class may take an amount now. The caller holds mu.
func (r *room) fits(class int, amount int64) bool {
	return r.used[others]+r.used[readers]+amount <= r.size && (class == others || r.used[readers]+amount <= r.share(readers))
}

// grant gives to the requests that wait. Readers get nothing while others wait: a large amount would never be free. The
// caller holds mu.
func (r *room) grant() {
	for _, class := range []int{others, readers} {
		for len(r.waiting[class]) > 0 {
			first := r.waiting[class][0]
			if !r.fits(class, first.amount) {
				return
			}
			r.waiting[class] = r.waiting[class][1:]
			r.used[class] += first.amount
			close(first.granted)
		}
	}
}

func (r *room) giver(class int, amount int64) func() {
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.used[class] -= amount
		r.grant()
	})
}

// keyedRooms are rooms of one size that are there while somebody uses them.
type keyedRooms struct {
	what     string
	size     int64
	patience time.Duration

	mu  sync.Mutex
	all map[string]*keyedRoom
}

type keyedRoom struct {
	*room
	users int
}

// take waits for one place in the room of key.
func (k *keyedRooms) take(ctx context.Context, who access, key string) (back func(), no *messages.Failure) {
	k.mu.Lock()
	if k.all == nil {
		k.all = make(map[string]*keyedRoom)
	}
	at := k.all[key]
	if at == nil {
		at = &keyedRoom{room: newRoom(k.what, k.size, k.patience)}
		k.all[key] = at
	}
	at.users++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if at.users--; at.users == 0 {
			delete(k.all, key)
		}
	}
	give, no := at.take(ctx, who, 1)
	if no != nil {
		leave()
		return nil, no
	}
	return sync.OnceFunc(func() {
		give()
		leave()
	}), nil
}
