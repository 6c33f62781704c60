package gabiontest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// recorder keeps every event of the actor system's Gabion, in order, from before its start.
type recorder struct {
	mu  sync.Mutex
	all []proto.Message
	// changed is closed, and replaced, when an event comes.
	changed chan struct{}
	// read is how many of all the Waits of each type have passed.
	read map[reflect.Type]int
}

func (r *recorder) record(event any) {
	m, ok := event.(proto.Message)
	if !ok || !ours(m) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m)
	close(r.changed)
	r.changed = make(chan struct{})
}

// ours tells the messages of Gabion from those of the framework and of the program.
func ours(m proto.Message) bool {
	return m.ProtoReflect().Descriptor().ParentFile().Package() == messages.File_gabion_v1_event_proto.Package()
}

// next passes the events that no Wait of the type has passed, and returns the first that matches, or when to look
// again.
func (r *recorder) next(kind reflect.Type, match func(proto.Message) bool) (proto.Message, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.read == nil {
		r.read = make(map[reflect.Type]int)
	}
	for i := r.read[kind]; i < len(r.all); i++ {
		r.read[kind] = i + 1
		if match(r.all[i]) {
			return r.all[i], nil
		}
	}
	return nil, r.changed
}

// change is closed when the next event comes.
func (r *recorder) change() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// String lists the events, one a line.
func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines strings.Builder
	for _, event := range r.all {
		fmt.Fprintf(&lines, "\n\t%s: %v", event.ProtoReflect().Descriptor().Name(), event)
	}
	return lines.String()
}

// Wait returns the next event of type T for which every match returns true; it waits for it no longer than within,
// and fails the test when it does not come. The first Wait of a type looks at all events since the Kit
// was started, each later one at those after the event that the one before returned: an event that comes before
// its Wait is not missed, and none is returned twice. Waits of different types do not affect each other.
//
// The events are messages.BackupStarted, TableBackedUp, BackupComplete and TableStateChanged; proto.Message as T
// means any. match must not call the Kit.
func Wait[T proto.Message](k *Kit, within time.Duration, match ...func(event T) bool) T {
	k.helper()
	kind := reflect.TypeFor[T]()
	matches := func(m proto.Message) bool {
		event, ok := m.(T)
		for _, f := range match {
			ok = ok && f(event)
		}
		return ok
	}
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		event, changed := k.events.next(kind, matches)
		if event != nil {
			return event.(T)
		}
		select {
		case <-changed:
		case <-late.C:
			k.fail("no event of type %v that matches within %v; the events so far:%v", kind, within, &k.events)
		}
	}
}

// WaitState waits until a table is in the given state, no longer than within, and fails the test when it is not. It is
// the state of now that counts, whatever it was before. A table counts as open when it also judges a Write, one
// whose conditions never hold: a table whose disk has failed shows as open for an instant more.
func (k *Kit) WaitState(table string, want messages.TableState, within time.Duration) {
	k.helper()
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		// Taken before the look, so that no change after it is missed.
		changed := k.events.change()
		state, err := k.state(table, max(within, time.Second))
		if err == nil && state == want {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			k.fail("table %q is not %v within %v, but %v, %v; the events so far:%v", table, want, within, state, err, &k.events)
		}
	}
}

// state is that of a table, with an error where it is open and serves nobody. An event follows such an error.
func (k *Kit) state(table string, within time.Duration) (messages.TableState, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tables, err := k.Gabion().ListTables(ctx)
	i := slices.IndexFunc(tables, func(info *messages.TableInfo) bool { return info.GetTable() == table })
	switch {
	case i >= 0: // whatever else is not known
	case err != nil:
		return 0, err
	default:
		return 0, fmt.Errorf("table %q: %w", table, messages.ErrNotFound)
	}
	state := tables[i].GetState()
	if state != messages.TableState_TABLE_STATE_OPEN {
		return state, nil
	}
	key := []byte("gabiontest")
	_, err = k.Gabion().Table(table).Write(ctx, &messages.Write{
		Ops: []*messages.Op{messages.DeleteOp(key)},
		Conditions: []*messages.Condition{
			messages.IfAbsent(key),
			messages.IfEquals(key, key),
		},
	})
	if errors.Is(err, messages.ErrConditionFailed) {
		return state, nil
	}
	return state, err
}
