//go:build soak

package test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	soakLasts = "GABION_SOAK" // how long, as 5m; an hour without it
	soakSeed  = "GABION_SOAK_SEED"
	// soakPatience bounds every wait: what takes longer hangs.
	soakPatience = 60 * time.Second
	// notTold is the state of a table whose Gabion did not answer.
	notTold messages.TableState = -1
)

// soakCounts are what happened.
type soakCounts struct {
	faults, broken, states                     map[string]int
	restarts, runs, failedRows, backups, drops int
	reads, scans, conditions                   int
	refused, panicked, panics, retried, events int
}

// soak is a Gabion on the real file system, under load, with faults, and what it promised.
type soak struct {
	t      *testing.T
	dir    string
	disk   *faultFS
	system *actor.ActorSystem
	ledger *killLedger
	g      atomic.Pointer[actors.Gabion]
	number atomic.Uint64
	writes atomic.Int64 // that owners received
	starts atomic.Int64
	began  time.Time

	// gate is held for reading by each piece of load, and for writing by a quiet point.
	gate sync.RWMutex
	// faulting is held from the injection of a fault until its table is well.
	faulting   sync.Mutex
	restarting atomic.Bool
	blame      *blame
	slow       *blame // tables that were stalled without an injected fault: the machine's own disk
	scratch    string // of the table that comes and goes, where it must be there; guarded by the gate and its one writer

	mu      sync.Mutex
	counts  soakCounts
	active  int // runs under way
	newest  map[string]string
	since   time.Time // the end of the last restart
	faults  int
	samples []sample
}

// TestSoak serves tables from the real file system for an hour: writers that know what they were promised; faults of one
// table's disk at a time, once or lasting, and hangs that end; panics; tables that come and go; backups every few seconds;
// restarts. Every acknowledged write is there, at each restart and at the end; who is not at fault notices nothing; and neither
// goroutines nor descriptors nor heap grow.
//
//	go test -tags soak ./test -run TestSoak -v -timeout 90m
//	GABION_SOAK=5m go test -tags soak ./test -run TestSoak -v
func TestSoak(t *testing.T) {
	lasts := time.Hour
	if text := os.Getenv(soakLasts); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakLasts, err)
		}
		if lasts < 2*time.Minute {
			t.Fatalf("%s is %v: there are too few quiet points in less than 2m", soakLasts, lasts)
		}
	}
	seed := number(t, soakSeed, uint64(time.Now().UnixNano()))
	t.Logf("%v; repeat with: %s=%v %s=%d go test -tags soak ./test -run '^TestSoak$' -v -timeout 90m", lasts, soakLasts, lasts, soakSeed, seed)
	dir, err := os.MkdirTemp("", "gabion-soak")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{t: t, dir: filepath.Join(dir, "d"), system: quietSystem(), ledger: newKillLedger(), began: time.Now(),
		blame: &blame{ended: map[string]time.Time{}}, slow: &blame{ended: map[string]time.Time{}}, newest: map[string]string{},
		counts: soakCounts{faults: map[string]int{}, broken: map[string]int{}, states: map[string]int{}}}
	s.disk = newSoakDisk(s.dir)
	defer func() {
		s.system.Shutdown()
		if t.Failed() {
			t.Logf("the directory is kept: %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	random := func(i uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, i)) }
	s.start()
	// The load outlives the last sample, whose goroutines are to be compared with those of before.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var load sync.WaitGroup
	for i, table := range killTables {
		for j := range 2 {
			w := &soakWriter{s: s, rng: random(uint64(10*i + j)), table: table}
			for k := range 12 {
				w.slots = append(w.slots, fmt.Sprintf("%d.%d.%d", i, j, k))
			}
			load.Go(func() { w.live(ctx) })
		}
	}
	load.Go(func() { s.churn(ctx, random(100)) })
	load.Go(func() { s.breakDisks(ctx, random(101)) })
	rng := random(102)
	for time.Since(s.began) < lasts && !s.failed() {
		s.live(time.Duration(5+rng.IntN(10)) * time.Second)
		s.restart()
	}
	cancel()
	load.Wait()
	s.quiet(false)
	s.checkLast()
	if err := s.g.Load().Stop(context.Background()); err != nil {
		t.Errorf("stop: %v", err)
	}
	s.checkDisk()
	s.tell()
	if !s.failed() {
		compareSamples(t, s.samples, lasts)
	}
}

// live lets the load run, with a quiet point in the middle.
func (s *soak) live(d time.Duration) {
	<-time.After(d / 2)
	s.quiet(true)
	<-time.After(d / 2)
}

func (s *soak) count(change func(*soakCounts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}

// failf fails the test, and ends it soon; what follows of the same is not told.
func (s *soak) failf(format string, args ...any) {
	s.mu.Lock()
	s.faults++
	n := s.faults
	s.mu.Unlock()
	if n <= 10 {
		s.t.Errorf("after %v: %s", time.Since(s.began).Round(time.Millisecond), fmt.Sprintf(format, args...))
	}
}

func (s *soak) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults > 0 || s.t.Failed()
}

func (s *soak) restarted() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// checkDisk checks the backups that lie on the disk of a stopped Gabion, and lets those of dropped tables go.
func (s *soak) checkDisk() {
	s.mu.Lock()
	k := &killer{t: s.t, dir: s.dir, promised: maps.Clone(s.newest)}
	s.mu.Unlock()
	k.checkDisk()
	s.count(func(c *soakCounts) { c.backups += k.checked })
}

// checkLast holds the sums of the records, and of a last backup, against the rows.
func (s *soak) checkLast() {
	sums := map[string]store.Sums{}
	for _, table := range killTables {
		seen, err := sight(context.Background(), s.g.Load(), table)
		if err != nil {
			s.failf("read table %s: %v", table, err)
			return
		}
		sums[table] = seen.Sums
	}
	if err := checkSums(context.Background(), s.g.Load(), sums); err != nil {
		s.failf("%v", err)
	}
}

func (s *soak) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	s.t.Logf("%d restarts, %d runs, %d rows of them failed, %d backups checked, %d tables dropped, %d events", c.restarts, c.runs,
		c.failedRows, c.backups, c.drops, c.events)
	s.t.Logf("%d writes acknowledged, %d reads, %d scans, %d conditions refused, %d panics; %d requests refused by tables at fault, %d panicked on",
		s.ledger.acks, c.reads, c.scans, c.conditions, c.panics, c.refused, c.panicked)
	s.t.Logf("faults: %v; of %v; states entered: %v; retried by hand: %d", c.faults, c.broken, c.states, c.retried)
	for _, what := range []string{"EIO, once", "EIO, lasting", "ENOSPC, once", "ENOSPC, lasting", "hang, once", "hang, lasting"} {
		if c.faults[what] == 0 {
			s.t.Logf("no fault of the kind %q was met: a longer soak meets it", what)
		}
	}
}
