package actors

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/messages"
)

const (
	// coordinatorName is reserved: no table can have it.
	coordinatorName = "backup"
	// adminTimeout bounds how long the supervisor's answers may take.
	adminTimeout = time.Minute
	// orphanTimeout bounds the shutdown when the host's own actor stops the supervisor.
	orphanTimeout = 10 * time.Second

	// panicBudget is how often an owner may panic within panicWindow. One that panics more often has its cell closed
	// and opened again: its state may be what it panics on.
	panicBudget = 10
	panicWindow = 10 * time.Second
)

// supervisor spawns the owners, then the coordinator, and restarts them at once when they panic. It never
// panics itself, and never waits.
type supervisor struct {
	tree *tree
	// spawned is closed when the children are there, or err says why not.
	spawned chan struct{}
	err     error
	// leaving are the names of dropped tables whose owners have not ended yet, with who waits to use one again.
	leaving map[string][]*adoption
}

// Receive implements actor.Actor.
func (s *supervisor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *actor.Started:
		s.spawn(c)
	case *actor.Stopping:
		// Stopped by the host's own tree rather than by Stop.
		ctx, cancel := context.WithTimeout(context.Background(), orphanTimeout)
		defer cancel()
		if err := s.tree.shutdown(ctx); err != nil {
			s.tree.config.Logger.Error("stopped with an error", "error", err)
		}
		s.letStop()
		s.tree.graves.close()
	case *messages.ListTables:
		s.beside(c, "", func(context.Context) (*messages.TableList, error) { return s.tree.listTables(), nil })
	case *messages.CloseTable:
		s.change(c, m.GetTable(), func(ctx context.Context) error { return s.tree.command(ctx, m.GetTable(), closeCommand) })
	case *messages.RetryTable:
		s.change(c, m.GetTable(), func(ctx context.Context) error { return s.tree.command(ctx, m.GetTable(), retryCommand) })
	case *messages.OpenTable:
		s.change(c, m.GetTable(), func(ctx context.Context) error { return s.tree.openTable(ctx, m.GetTable()) })
	case *messages.CreateTable:
		s.change(c, m.GetTable(), func(ctx context.Context) error { return s.tree.createTable(ctx, m) })
	case *messages.DropTable:
		s.drop(c, &boundedDrop{DropTable: m, ctx: context.Background()})
	case *boundedDrop:
		s.drop(c, m)
	case *adoption:
		s.adopt(c, m)
	case *retirement:
		s.retire(c, m.cell)
	case *actor.Terminated:
		s.left(c, m.Who)
	default:
		s.tree.outbox.send(c.Sender(), notUnderstood("supervisor", m))
	}
}

func (s *supervisor) spawn(c actor.Context) {
	defer close(s.spawned)
	t := s.tree
	for _, m := range t.members.list() {
		if s.err = s.spawnOwner(c, m); s.err != nil {
			return
		}
	}
	pid, err := c.SpawnNamed(t.props(t.coordinator, t.config.Name+"/"+coordinatorName, func() actor.Actor {
		return &coordinator{tree: t}
	}), coordinatorName)
	if err != nil {
		s.err = err
		return
	}
	t.members.spawned(nil, pid)
}

func (s *supervisor) spawnOwner(c actor.Context, m *member) error {
	s.tree.graves.fill(m.name)
	pid, err := c.SpawnNamed(s.tree.props(m.mailbox, s.tree.config.Name+"/"+m.name, func() actor.Actor {
		return &owner{cell: m.cell}
	}), m.name)
	if err == nil {
		s.tree.members.spawned(m, pid)
	}
	return err
}

// props are those of an owner or the coordinator.
func (t *tree) props(m *mailbox, name string, produce actor.Producer) *actor.Props {
	middleware := append([]actor.ReceiverMiddleware{t.guard(m, name, true)}, t.config.Middleware...)
	return actor.PropsFromProducer(produce,
		actor.WithMailbox(func() actor.Mailbox { return m }),
		actor.WithReceiverMiddleware(middleware...))
}

// letStop lets the framework stop the children.
func (s *supervisor) letStop() {
	for _, m := range s.tree.members.list() {
		m.mailbox.mayStop.Store(true)
	}
	s.tree.coordinator.mayStop.Store(true)
}

// beside answers with what work returns, on a goroutine of its own: it may wait for a disk. Stop ends it.
func (s *supervisor) beside(c actor.Context, table string, work func(context.Context) (*messages.TableList, error)) {
	r := &request{out: s.tree.outbox, sender: c.Sender()}
	s.tree.admin.start(func() {
		defer func() {
			if reason := recover(); reason != nil {
				s.tree.config.Logger.Error("supervisor's work panicked", "reason", reason, "stack", string(debug.Stack()))
				r.answer(messages.Failf(messages.Code_CODE_INTERNAL, "request panicked: %v", reason).Of(table))
			}
		}()
		ctx, cancel := context.WithTimeout(s.tree.runner.ctx, adminTimeout)
		defer cancel()
		list, err := work(ctx)
		if err != nil {
			r.answer(messages.FailureOf(err).Of(table))
			return
		}
		r.answer(list)
	})
}

// change is beside for what changes one table, and answers with its row.
func (s *supervisor) change(c actor.Context, table string, work func(context.Context) error) {
	s.beside(c, table, func(ctx context.Context) (*messages.TableList, error) {
		if err := work(ctx); err != nil {
			return nil, err
		}
		m := s.tree.members.find(table)
		if m == nil {
			return nil, droppedFailure(table) // meanwhile
		}
		return &messages.TableList{Tables: []*messages.TableInfo{m.info()}}, nil
	})
}

// drop answers with the row of the table that is dropped; it may take as long as its backup does.
func (s *supervisor) drop(c actor.Context, m *boundedDrop) {
	claim := (&request{out: s.tree.outbox, sender: c.Sender()}).claim
	s.beside(c, m.GetTable(), func(context.Context) (*messages.TableList, error) {
		dropped, err := s.tree.dropTable(s.tree.runner.ctx, m, claim)
		if err != nil {
			return nil, err
		}
		return &messages.TableList{Tables: []*messages.TableInfo{dropped.info()}}, nil
	})
}

// HandleFailure implements actor.SupervisorStrategy for the supervisor's children: restart at once, whatever
// the reason. The cell, which holds everything that matters, is not touched, unless the panics go on.
func (s *supervisor) HandleFailure(_ *actor.ActorSystem, super actor.Supervisor, child *actor.PID,
	stats *actor.RestartStatistics, reason, _ any) {
	stats.Fail()
	if m := s.tree.members.ownedBy(child); m != nil {
		m.restarts.Add(1)
		if stats.NumberOfFailures(panicWindow) > panicBudget {
			stats.Reset()
			if c := m.serving.Load(); c != nil {
				c.faulted(panicsError{reason})
			}
		}
	}
	super.RestartChildren(child)
}

// panicsError is why a cell is reopened whose owner panicked past its budget.
type panicsError struct{ last any }

func (e panicsError) Error() string {
	return fmt.Sprintf("owner panicked more than %d times in %v, the last time on: %v", panicBudget, panicWindow, e.last)
}
