//go:build soak

package test

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const (
	isStalled = messages.TableState_TABLE_STATE_STALLED
	isFull    = messages.TableState_TABLE_STATE_FULL
)

// config keeps the data set and the waits short, so that an hour holds many of everything.
func (s *soak) config() actors.Config {
	c := actors.Config{Dir: s.dir, Tables: killTables, AtCut: []string{"outbox"}, FS: s.disk, Keep: 2, UndoLife: time.Nanosecond,
		Interval: 3 * time.Second, MemTableBytes: 64 << 10, CacheBytes: 1 << 20,
		FreezeAfter: 500 * time.Millisecond, StallAfter: 3 * time.Second, CutTimeout: 5 * time.Second, CopyTimeout: 5 * time.Second}
	// Without middleware handles go past the mailbox.
	if s.starts.Add(1)%2 == 1 {
		c.Middleware = []actor.ReceiverMiddleware{s.panic}
	}
	return c
}

// panic lets an owner panic now and then, before it handles a write or after.
func (s *soak) panic(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, e *actor.MessageEnvelope) {
		n := int64(0)
		if _, write := e.Message.(*messages.Write); write {
			n = s.writes.Add(1) % 3000
		}
		if n == 1000 || n == 2500 {
			s.count(func(c *soakCounts) { c.panics++ })
		}
		if n == 1000 {
			panic("before")
		}
		next(c, e)
		if n == 2500 {
			panic("after")
		}
	}
}

// start starts the Gabion; the disk of one table may be at fault.
func (s *soak) start() {
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	g, err := actors.Start(ctx, s.system, s.config())
	if err != nil {
		s.t.Fatalf("start: %v", err)
	}
	s.mu.Lock()
	s.active = 0
	s.mu.Unlock()
	g.Subscribe(s.observe)
	s.g.Store(g)
}

// restart stops the Gabion under load, and starts it again.
func (s *soak) restart() {
	s.restarting.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	if err := s.g.Load().Stop(ctx); err != nil {
		s.failf("stop: %v", err)
	}
	s.gate.Lock()
	s.checkDisk()
	s.start()
	s.mu.Lock()
	s.since = time.Now()
	s.counts.restarts++
	s.mu.Unlock()
	s.restarting.Store(false)
	s.gate.Unlock()
	s.quiet(true)
}

// quiet holds the load, waits until all is well, holds every table against what was promised, and takes a sample
// while the load is there.
func (s *soak) quiet(loaded bool) {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.faulting.Lock()
	defer s.faulting.Unlock()
	for _, table := range killTables {
		s.comesBack(table)
	}
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	for _, table := range killTables {
		seen, err := sight(ctx, s.g.Load(), table)
		if err != nil {
			s.failf("read table %s: %v", table, err)
			return
		}
		s.ledger.saw(table, seen)
	}
	if err := s.dropScratch(ctx); err != nil {
		s.failf("look at table %s and drop it: %v", scratchTable, err)
	}
	for _, fault := range s.ledger.takeFaults() {
		s.failf("%s", fault)
	}
	for loaded && ctx.Err() == nil {
		if runs, ok := s.idle(); ok {
			taken := s.takeSample()
			if after, ok := s.idle(); ok && after == runs {
				s.samples = append(s.samples, taken)
				return
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	if loaded {
		s.failf("no instant without a run within %v", soakPatience)
	}
}

// idle tells whether no run is under way, and how many there were.
func (s *soak) idle() (runs int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts.runs, s.active == 0
}

// observe: only a table at fault leaves service, and only its backups fail.
func (s *soak) observe(event proto.Message) {
	s.count(func(c *soakCounts) { c.events++ })
	switch e := event.(type) {
	case *messages.BackupStarted:
		s.mu.Lock()
		s.active++
		s.counts.runs++
		s.mu.Unlock()
	case *messages.BackupComplete:
		s.mu.Lock()
		s.active = max(0, s.active-1)
		s.counts.failedRows += len(e.GetFailed())
		for _, row := range e.GetBackedUp() {
			s.newest[row.GetTable()] = max(s.newest[row.GetTable()], row.GetBackupId())
		}
		s.mu.Unlock()
		for _, row := range e.GetFailed() {
			began := e.GetStarted().AsTime()
			if table := row.GetTable(); table != scratchTable && !s.restarting.Load() && !s.restarted().After(began) &&
				!s.blame.excuses(table, began) && !s.slow.excuses(table, began) {
				s.failf("the backup of table %s, whose disk is well, failed: %v", table, row.GetFailure())
			}
		}
	case *messages.TableStateChanged:
		s.count(func(c *soakCounts) { c.states[e.GetTo().String()[len("TABLE_STATE_"):]]++ })
		excused := e.GetTable() == scratchTable || s.blame.excuses(e.GetTable(), e.GetAt().AsTime())
		switch e.GetTo() {
		case isStalled:
			if !excused {
				s.slow.stalls(e.GetTable(), true)
			}
		case isReopening, isQuarantined, isFull:
			if !excused {
				s.failf("table %s, whose disk is well, is %v: %s", e.GetTable(), e.GetTo(), e.GetReason())
			}
		case isOpen:
			s.slow.stalls(e.GetTable(), false)
		}
	}
}

// stalls notes that a table is stalled without a fault of its own, or no more.
func (b *blame) stalls(table string, now bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now {
		b.ended[table] = time.Now().Add(time.Hour)
	} else if b.ended[table].After(time.Now()) {
		b.ended[table] = time.Now()
	}
}

// stateOf is a table's state and its reason; zero where there is no such table.
func stateOf(ctx context.Context, g *actors.Gabion, table string) (messages.TableState, string) {
	tables, err := g.ListTables(ctx)
	if err != nil {
		return notTold, err.Error()
	}
	for _, info := range tables {
		if info.GetTable() == table {
			return info.GetState(), info.GetReason()
		}
	}
	return 0, ""
}
