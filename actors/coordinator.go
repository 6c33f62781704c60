package actors

import (
	"cmp"
	"context"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// coordinator turns messages into work for the runner and for health, which run beside it. It keeps no
// state of its own: a restart after a panic loses no run.
type coordinator struct {
	tree    *tree
	current *request
}

var _ answerer = (*coordinator)(nil)

func (o *coordinator) receiving() *request { return o.current }
func (o *coordinator) forget()             { o.current = nil }

// Receive implements actor.Actor.
func (o *coordinator) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *messages.BackupAll:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.tree.runner.ask(m, r)
	case *messages.ListBackups:
		r := o.accept(c)
		o.beside(r, func() proto.Message { return o.tree.listBackups(m) })
	case *messages.ShowBackup:
		r := o.accept(c)
		o.beside(r, func() proto.Message { return o.tree.showBackup(m) })
	case *messages.VerifyBackup:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.lasting(r, func(ctx context.Context) proto.Message { return o.tree.verifyBackups(ctx, m) })
	case *messages.RestoreTable:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.lasting(r, func(ctx context.Context) proto.Message { return o.tree.restoreTable(ctx, m) })
	case *messages.PruneBackups:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.prune(r, cmp.Or(m, &messages.PruneBackups{}))
	case *messages.PinBackup:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.beside(r, func() proto.Message { return o.tree.pinBackup(m) })
	case *messages.AcknowledgeLoss:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.beside(r, func() proto.Message { return o.tree.acknowledgeLoss(m) })
	case *messages.ListLosses:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.beside(r, func() proto.Message { return o.tree.listLosses(m) })
	case *messages.ListEvents:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.beside(r, func() proto.Message { return o.tree.listEvents(m) })
	case *messages.ListHistory:
		r := o.accept(c)
		if bad := m.Check(); bad != nil {
			r.answer(bad)
			return
		}
		o.beside(r, func() proto.Message { return o.tree.listHistory(m) })
	case *messages.HealthMetrics:
		r := o.accept(c)
		o.beside(r, func() proto.Message { return o.tree.health() })
	default:
		o.tree.outbox.send(c.Sender(), notUnderstood("backup coordinator", m))
	}
}

// prune foresees beside the runs, and removes in turn with them: neither a run nor what it publishes goes on meanwhile.
func (o *coordinator) prune(r *request, m *messages.PruneBackups) {
	if failure := o.tree.mayPrune(m); failure != nil {
		r.answer(failure)
		return
	}
	if m.GetDryRun() {
		o.beside(r, func() proto.Message { return o.tree.foresee(m) })
		return
	}
	if failure := o.tree.runner.enqueue(&queuedRun{key: pruneKey(m), prune: m}, r); failure != nil {
		r.answer(failure)
	}
}

func (o *coordinator) accept(c actor.Context) *request {
	o.current = &request{out: o.tree.outbox, sender: c.Sender()}
	return o.current
}

// beside answers a request with what work returns, on a goroutine of its own.
func (o *coordinator) beside(r *request, work func() proto.Message) {
	r.taken.Store(true)
	logger := o.tree.config.Logger
	go func() {
		defer func() {
			if reason := recover(); reason != nil {
				logger.Error("coordinator's work panicked", "reason", reason)
				r.answer(messages.Failf(messages.Code_CODE_INTERNAL, "request panicked: %v", reason))
			}
		}()
		r.answer(work())
	}()
}

// lasting is beside for work that may take long: Stop ends its context, and waits for it.
func (o *coordinator) lasting(r *request, work func(context.Context) proto.Message) {
	t := o.tree
	t.admin.began()
	o.beside(r, func() proto.Message {
		defer t.admin.ended()
		return work(t.runner.ctx)
	})
}
