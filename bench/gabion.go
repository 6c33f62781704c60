package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

var errWrongValue = errors.New("a row has another value than it was given")

// Table is a Store of a table of a Gabion, by its typed handle.
type Table struct {
	g      *actors.Gabion
	system *actor.ActorSystem
	name   string
	handle *actors.Table
}

// NewTable returns the Store of a table that g serves; Close leaves it served.
func NewTable(g *actors.Gabion, system *actor.ActorSystem, name string) *Table {
	return &Table{g: g, system: system, name: name, handle: g.Table(name)}
}

// Handle is the typed handle of the table.
func (t *Table) Handle() *actors.Table { return t.handle }

// loadBatch is how many rows a write of a Load has.
const loadBatch = 1000

// Load implements Store.
func (t *Table) Load(ctx context.Context, keys *Keys) error {
	for i := uint64(0); i < keys.Rows(); {
		w := &messages.Write{}
		for ; i < keys.Rows() && len(w.GetOps()) < loadBatch; i++ {
			key := KeyOf(i)
			w.Ops = append(w.Ops, messages.PutOp(key, keys.ValueOf(key)))
		}
		if _, err := t.handle.Write(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// Put implements Store.
func (t *Table) Put(ctx context.Context, key, value []byte) error {
	_, err := t.handle.Put(ctx, key, value)
	return err
}

// Get implements Store.
func (t *Table) Get(ctx context.Context, key []byte) ([]byte, error) {
	value, err := t.handle.Get(ctx, key)
	if errors.Is(err, messages.ErrNotFound) {
		return nil, nil
	}
	return value, err
}

// Scan implements Store.
func (t *Table) Scan(ctx context.Context, start []byte, limit int) (int, error) {
	page, err := t.handle.Scan(ctx, &messages.Scan{Start: start, Limit: uint32(limit)})
	return len(page.GetEntries()), err
}

// Close implements Store.
func (t *Table) Close() error { return nil }

// asks is a Table that is asked by messages.
type asks struct{ *Table }

// Messages returns the Store of the same table by messages, each waited for by a future.
func (t *Table) Messages() Store { return asks{t} }

const futurePatience = time.Minute

func (t asks) request(message any) (any, error) {
	reply, err := t.system.Root.RequestFuture(t.g.PID(t.name), message, futurePatience).Result()
	if failure, ok := reply.(*messages.Failure); ok {
		return nil, failure
	}
	return reply, err
}

func (t asks) Put(_ context.Context, key, value []byte) error {
	_, err := t.request(&messages.Put{Key: key, Value: value})
	return err
}

func (t asks) Get(_ context.Context, key []byte) ([]byte, error) {
	reply, err := t.request(&messages.Get{Key: key})
	if err != nil {
		return nil, err
	}
	return reply.(*messages.Value).GetValue(), nil
}

// Window is one sender of messages that does not wait for answers, as long as so many are unanswered.
func (t *Table) Window(size int, key func(*Keys) []byte) Load {
	w := &window{free: make(chan struct{}, size), failed: make(chan error, 1)}
	w.pid = t.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return w }))
	to := t.g.PID(t.name)
	return Load{
		Op: func(ctx context.Context, k *Keys) (int, error) {
			select {
			case w.free <- struct{}{}:
			case err := <-w.failed:
				return 0, err
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			next := key(k)
			t.system.Root.RequestWithCustomSender(to, &messages.Put{Key: next, Value: k.ValueOf(next)}, w.pid)
			return 1, nil
		},
		Drain: func() error {
			defer t.system.Root.Stop(w.pid)
			for range size {
				select {
				case w.free <- struct{}{}:
				case err := <-w.failed:
					return err
				}
			}
			return nil
		},
	}
}

// window receives the answers.
type window struct {
	pid    *actor.PID
	free   chan struct{} // holds one for each that is unanswered
	failed chan error
}

// Receive implements actor.Actor.
func (w *window) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *messages.Committed:
		<-w.free
	case actor.SystemMessage, actor.AutoReceiveMessage:
	default:
		select {
		case w.failed <- fmt.Errorf("put was answered with %v", m):
		default:
		}
	}
}
