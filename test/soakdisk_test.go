//go:build soak

package test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// soakPhase is the only phase of a soak: faults come whenever they come.
const soakPhase = "soak"

// soakCalls are what is broken, of the table that is at fault. Those named twice are broken twice as often.
var soakCalls = []diskCall{
	{walFile, writeOp, soakPhase}, {walFile, syncOp, soakPhase}, {walFile, syncOp, soakPhase}, {walFile, createOp, soakPhase},
	{manifestFile, writeOp, soakPhase}, {manifestFile, syncOp, soakPhase}, {manifestFile, createOp, soakPhase},
	{sstableFile, createOp, soakPhase}, {sstableFile, writeOp, soakPhase}, {sstableFile, syncOp, soakPhase},
	{sstableFile, readOp, soakPhase}, {sstableFile, removeOp, soakPhase},
	{markerFile, createOp, soakPhase}, {optionsFile, createOp, soakPhase}, {lineageDir, syncOp, soakPhase},
	{highWaterFile, writeOp, soakPhase}, {highWaterFile, syncOp, soakPhase},
	{stagingFile, linkOp, soakPhase}, {stagingFile, createOp, soakPhase}, {stagingFile, removeOp, soakPhase},
	{backupFile, writeOp, soakPhase}, {backupFile, syncOp, soakPhase}, {backupFile, renameOp, soakPhase},
	{backupFile, mkdirOp, soakPhase}, {backupFile, removeOp, soakPhase}, {manifestJSON, writeOp, soakPhase},
	{currentFile, renameOp, soakPhase}, {currentFile, syncOp, soakPhase},
}

var soakFaults = []string{ioFault, spaceFault, hangFault}

// newSoakDisk breaks the operating system's file system below root, a real path.
func newSoakDisk(root string) *faultFS {
	return &faultFS{crashFS: &crashFS{FS: store.RealFS()}, root: root,
		counts: make(map[diskCall]int), changed: make(chan struct{})}
}

// aim has the next faults befall a table.
func (f *faultFS) aim(table string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.table = table
}

// firings is how often a fault has fired so far.
func (f *faultFS) firings() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// blame knows which table is at fault, and when each last was: from the injection until the table is open again.
type blame struct {
	mu    sync.Mutex
	table string
	ended map[string]time.Time
}

func (b *blame) begin(table string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table = table
}

func (b *blame) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended[b.table] = time.Now()
	b.table = ""
}

// excuses tells whether a table was at fault at any time since.
func (b *blame) excuses(table string, since time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table == table || b.ended[table].After(since)
}

// breakDisks breaks the disk of one table after another, and waits each time until it is open again, until ctx ends.
func (s *soak) breakDisks(ctx context.Context, rng *rand.Rand) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(200+rng.IntN(1300)) * time.Millisecond):
		}
		s.faulting.Lock() // a quiet point waits for the end, and begins no earlier
		s.breakDisk(rng)
		s.faulting.Unlock()
	}
}

func (s *soak) breakDisk(rng *rand.Rand) {
	table := killTables[rng.IntN(len(killTables))]
	if rng.IntN(8) == 0 {
		table = scratchTable
	}
	fault := &injection{call: soakCalls[rng.IntN(len(soakCalls))], kind: soakFaults[rng.IntN(len(soakFaults))],
		nth: 1 + rng.IntN(3), every: rng.IntN(2) == 0}
	for !befalls(fault.kind, fault.call.op) {
		fault.kind = soakFaults[rng.IntN(len(soakFaults))]
	}
	lasts := time.Duration(200+rng.IntN(2500)) * time.Millisecond
	before := s.disk.firings()
	s.blame.begin(table)
	s.disk.aim(table)
	s.disk.enter(soakPhase, fault)
	var reopened sync.WaitGroup
	if table != scratchTable && slices.Contains([]string{markerFile, optionsFile, manifestFile, sstableFile}, fault.call.file) {
		// Which are written, or read, when the table is opened; sstables with the flush before.
		reopened.Go(func() { s.reopen(table) })
	}
	met, cancel := context.WithTimeout(context.Background(), 4*time.Second) // more than a run is away
	s.disk.await(met, func(_ map[diskCall]int, fired int) bool { return fired > before })
	cancel()
	<-time.After(lasts)
	s.disk.heal()
	reopened.Wait()
	s.comesBack(table)
	s.blame.end()
	kind := fault.kind + ", once"
	if fault.every {
		kind = fault.kind + ", lasting"
	}
	if s.disk.firings() == before {
		kind = "not met"
	}
	s.count(func(c *soakCounts) { c.faults[kind]++; c.broken[fault.call.file]++ })
}

// reopen closes a table at fault and opens it again; either may fail.
func (s *soak) reopen(table string) {
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	g := s.g.Load()
	_ = g.CloseTable(ctx, table)
	_ = g.OpenTable(ctx, table)
}

// comesBack waits until a table whose disk was healed takes a write, and does what an operator would if it is quarantined. A
// table that has just failed may still say that it is open.
func (s *soak) comesBack(table string) {
	if table == scratchTable {
		return // whoever makes and drops it sees to that
	}
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	for {
		g := s.g.Load()
		state, reason := stateOf(ctx, g, table)
		switch state {
		case isOpen:
			probe := &slotWriter{journal: s.ledger, table: g.Table(table), slots: []string{"probe"},
				next: func() uint64 { return s.number.Add(1) }}
			if probe.write(ctx) == nil {
				return
			}
		case messages.TableState_TABLE_STATE_CLOSED: // what reopens it has failed, or met a stop
			_ = g.OpenTable(ctx, table)
		case isQuarantined:
			s.count(func(c *soakCounts) { c.retried++ })
			if err := g.RetryTable(ctx, table); err != nil && !s.restarting.Load() {
				s.failf("retry %s, whose disk was healed: %v; it was quarantined for: %s", table, err, reason)
				return
			}
		}
		if ctx.Err() != nil {
			s.failf("table %s is %v %v after its disk was healed: %s", table, state, soakPatience, reason)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}
