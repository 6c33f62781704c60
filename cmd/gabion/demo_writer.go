package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// window is how many rows the writer has on their way. Each owner commits what has gathered while the disk was
// busy, so a wider window costs no more fsyncs.
const window = 2048

// writer is an actor as a host would have one: it sends rows to the owners by PID and never waits for an
// answer. The goroutine that reads the input waits instead, for a slot of the window.
type writer struct {
	gabion *actors.Gabion
	// slots has one element for each row that was sent and not answered.
	slots chan struct{}
	// failed is the first failure.
	failed atomic.Pointer[messages.Failure]
	rows   atomic.Int64
}

// Receive implements actor.Actor.
func (w *writer) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case row:
		c.Request(w.gabion.PID(m.table), &messages.Put{Key: []byte(m.key), Value: m.value})
	case *messages.Committed:
		w.rows.Add(1)
		<-w.slots
	case *messages.Failure:
		w.failed.CompareAndSwap(nil, m)
		<-w.slots
	}
}

// writing is a writer at work.
type writing struct {
	*writer
	system *actor.ActorSystem
	pid    *actor.PID
}

func startWriting(system *actor.ActorSystem, g *actors.Gabion) *writing {
	w := &writer{gabion: g, slots: make(chan struct{}, window)}
	pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return w }))
	return &writing{writer: w, system: system, pid: pid}
}

// put hands r to the actor once the window has room. It returns the first failure of any row so far.
func (w *writing) put(ctx context.Context, r row) error {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.system.Root.Send(w.pid, r)
	return w.err()
}

// finish waits until every row is answered.
func (w *writing) finish(ctx context.Context) error {
	for range window {
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return w.err()
}

// stop stops the actor; answers that are still to come are lost.
func (w *writing) stop() { w.system.Root.Stop(w.pid) }

func (w *writing) err() error {
	if failure := w.failed.Load(); failure != nil {
		return fmt.Errorf("write row: %w", failure)
	}
	return nil
}
