package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// What TestKill tells the process that it kills.
const (
	killDir  = "GABION_TEST_KILL_DIR"
	killLife = "GABION_TEST_KILL_LIFE" // its number, from 1
	killSeed = "GABION_TEST_KILL_SEED"
)

// killTables are there all the time.
var killTables = []string{"events", "inbox", "ledger", "outbox"}

// The lines that a victim writes to its standard output, beside those of its journal, "saw", "backup" and "fault".
const (
	lineStarting = "starting"
	lineStarted  = "started"
	lineServing  = "serving"
	lineRun      = "run" // a backup has begun
	lineRunEnded = "run ended"
	lineStopping = "stopping"
	lineStopped  = "stopped"
)

// victim is a process that serves tables, writes, backs up, makes and drops a table, stops and starts again, until
// it is killed. Whatever it was answered it has told its parent before it goes on.
type victim struct {
	dir    string
	life   uint64
	rng    *rand.Rand // of the main goroutine
	number atomic.Uint64

	mu       sync.Mutex // holds lines apart
	g        *actors.Gabion
	stopping atomic.Bool
	panics   atomic.Int64
}

// liveAsVictim runs a victim; it returns only after a fault.
func liveAsVictim(dir string) (status int) {
	life, err := strconv.ParseUint(os.Getenv(killLife), 10, 64)
	seed, err2 := strconv.ParseUint(os.Getenv(killSeed), 10, 64)
	if err := errors.Join(err, err2); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	go func() {
		// The parent never writes: this ends with it.
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	v := &victim{dir: dir, life: life, rng: rand.New(rand.NewPCG(seed, life))}
	v.number.Store(life * 1_000_000)
	for {
		if err := v.live(); err != nil {
			v.fault("%v", err)
			return 1
		}
	}
}

// say writes one line, at once. What was written is the parent's, whatever becomes of the process.
func (v *victim) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
}

func (v *victim) fault(format string, args ...any) {
	v.say("fault %s", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
}

func (v *victim) sent(table, slot string, n uint64) { v.say("sent %s %s %d", table, slot, n) }
func (v *victim) acked(table, slot string, n, seq uint64) {
	v.say("acked %s %s %d %d", table, slot, n, seq)
}
func (v *victim) refused(table, slot string, n uint64) { v.say("refused %s %s %d", table, slot, n) }

// config has another accounting of a table in each life, a schedule in every other one, and no panics in every third.
func (v *victim) config() actors.Config {
	c := actors.Config{
		Dir: v.dir, Tables: killTables, AtCut: []string{"outbox"}, Keep: 2, UndoLife: time.Nanosecond,
		MemTableBytes: 16 << 10, CacheBytes: 1 << 20,
		DisableSchedule: v.life%2 == 0,
	}
	if v.life%3 != 0 { // without middleware handles go past the mailbox
		c.Middleware = []actor.ReceiverMiddleware{v.panic}
	}
	if v.life%2 == 1 {
		c.Interval = time.Second
		c.AtCut = append(c.AtCut, "inbox")
	}
	return c
}

// panic lets an owner panic now and then, before it handles a request or after.
func (v *victim) panic(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, e *actor.MessageEnvelope) {
		n := int64(0)
		if _, write := e.Message.(*messages.Write); write {
			n = v.panics.Add(1) % 1000
		}
		if n == 50 {
			panic("before")
		}
		next(c, e)
		if n == 550 {
			panic("after")
		}
	}
}

// live is one start, some load and a stop.
func (v *victim) live() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	v.stopping.Store(false)
	v.say(lineStarting)
	system := quietSystem()
	g, err := actors.Start(ctx, system, v.config())
	if err != nil {
		return err
	}
	v.g = g
	v.say(lineStarted)
	g.Subscribe(v.observe)
	if err := v.look(ctx); err != nil {
		return err
	}
	v.say(lineServing)
	var load sync.WaitGroup
	for i, table := range killTables {
		for w := range 2 {
			load.Go(func() { v.write(ctx, table, fmt.Sprint(i, ".", w)) })
		}
	}
	load.Go(func() { v.backUp(ctx) })
	rng := rand.New(rand.NewPCG(v.rng.Uint64(), 0))
	load.Go(func() { v.churn(ctx, rng) })
	load.Go(func() { v.reopen(ctx, "events") })
	<-time.After(time.Duration(300+v.rng.IntN(1500)) * time.Millisecond)
	v.stopping.Store(true)
	v.say(lineStopping)
	if err := g.Stop(ctx); err != nil {
		return err
	}
	load.Wait()
	system.Shutdown()
	v.say(lineStopped)
	return nil
}

// look tells what the start found, before anything is written, and holds the sums of the records against the rows.
func (v *victim) look(ctx context.Context) error {
	if v.config().DisableSchedule {
		left, err := leftovers(v.dir)
		if err != nil || len(left) > 0 {
			return fmt.Errorf("the start swept all but %q, %v", left, err)
		}
	}
	tables, err := v.g.ListTables(ctx)
	if err != nil {
		return err
	}
	scratch := false
	for _, info := range tables {
		scratch = scratch || info.GetTable() == scratchTable
		if info.GetTable() != scratchTable && info.GetState() != messages.TableState_TABLE_STATE_OPEN {
			return fmt.Errorf("table %s is %v after the start: %s", info.GetTable(), info.GetState(), info.GetReason())
		}
	}
	if scratch {
		// A creation that was not finished is on disk, too, but is no table.
		if err := v.g.OpenTable(ctx, scratchTable); errors.Is(err, messages.ErrNotFound) {
			scratch = false
		} else if err != nil {
			return err
		}
	}
	names := killTables
	if scratch {
		names = append(names[:len(names):len(names)], scratchTable)
	} else {
		v.say(lineNoScratch)
	}
	sums := map[string]store.Sums{}
	for _, table := range names {
		s, err := sight(ctx, v.g, table)
		if err != nil {
			return fmt.Errorf("read table %s: %w", table, err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		v.say("saw %s %s", table, text)
		sums[table] = s.Sums
	}
	return checkSums(ctx, v.g, sums)
}

// leftovers lists what no start may leave: staged cuts, and backups that are not complete.
func leftovers(dir string) ([]string, error) {
	staged, err := filepath.Glob(filepath.Join(dir, "staging", "*"))
	if err != nil {
		return nil, err
	}
	pending, err := filepath.Glob(filepath.Join(dir, store.BackupsDir, "*", ".pending-*"))
	return append(staged, pending...), err
}

// checkSums compares the sums of each table's rows with health's and with those of a backup that is made now.
func checkSums(ctx context.Context, g *actors.Gabion, want map[string]store.Sums) error {
	health, err := g.Health(ctx)
	if err != nil {
		return err
	}
	for _, row := range health.GetTables() {
		sums, read := want[row.GetTable()]
		if read && row.GetCountExact() && (row.GetCount() != sums.Count || row.GetLiveBytes() != sums.LiveBytes) {
			return fmt.Errorf("table %s has %d rows, %d B; its record says %d, %d",
				row.GetTable(), sums.Count, sums.LiveBytes, row.GetCount(), row.GetLiveBytes())
		}
	}
	report, err := g.BackupAll(ctx)
	if err != nil {
		return err
	}
	for _, row := range report.GetSet().GetResults() {
		if row.GetFailure() != nil {
			return fmt.Errorf("back up table %s: %w", row.GetTable(), row.GetFailure())
		}
		manifest, err := readManifest(store.RealFS(), filepath.Join(report.GetBackupDir(), row.GetTable(), row.GetBackupId()))
		if err != nil {
			return err
		}
		r := manifest.GetRecord()
		if got := (store.Sums{Count: r.GetCount(), LiveBytes: r.GetLiveBytes(), Fingerprint: r.GetFingerprint()}); got != want[row.GetTable()] {
			return fmt.Errorf("table %s has the sums %v, its backup's label says %v", row.GetTable(), want[row.GetTable()], got)
		}
	}
	return nil
}

// observe tells of the runs, and of tables that leave service.
func (v *victim) observe(event proto.Message) {
	switch e := event.(type) {
	case *messages.BackupStarted:
		v.say(lineRun)
	case *messages.BackupComplete:
		for _, row := range e.GetBackedUp() {
			v.say("backup %s %s", row.GetTable(), row.GetBackupId())
		}
		v.say(lineRunEnded)
	case *messages.TableStateChanged:
		switch e.GetTo() {
		case messages.TableState_TABLE_STATE_QUARANTINED, messages.TableState_TABLE_STATE_REOPENING:
			v.fault("table %s is %v: %s", e.GetTable(), e.GetTo(), e.GetReason())
		}
	}
}

// write writes to one table until the stop refuses it.
func (v *victim) write(ctx context.Context, table, name string) {
	w := &slotWriter{journal: v, table: v.g.Table(table), next: func() uint64 { return v.number.Add(1) }}
	for i := range 12 {
		w.slots = append(w.slots, fmt.Sprint(name, ".", i))
	}
	for {
		err := w.write(ctx)
		switch {
		case err == nil:
		case v.stopping.Load() && errors.Is(err, messages.ErrUnavailable) && !errors.Is(err, messages.ErrOutcomeUnknown):
			return
		case errors.Is(err, messages.ErrOutcomeUnknown), !errors.Is(err, messages.ErrUnavailable) && !errors.Is(err, messages.ErrInternal):
			v.fault("write to %s: %v", table, err)
			return
		default: // closed for a moment, or its owner panicked
			<-time.After(time.Millisecond)
		}
	}
}

// backUp makes one backup after another.
func (v *victim) backUp(ctx context.Context) {
	for !v.stopping.Load() {
		report, err := v.g.BackupAll(ctx)
		if v.stopping.Load() {
			return
		}
		if err != nil || len(report.GetFaults()) > 0 {
			v.fault("back up: %v, %q", err, report.GetFaults())
		}
		for _, row := range report.GetSet().GetResults() {
			// Either may be closed just then.
			if row.GetFailure() != nil && row.GetTable() != scratchTable && row.GetTable() != "events" {
				v.fault("back up table %s: %v", row.GetTable(), row.GetFailure())
			}
		}
	}
}

// reopen closes a table and opens it again.
func (v *victim) reopen(ctx context.Context, table string) {
	for !v.stopping.Load() {
		err := errors.Join(v.g.CloseTable(ctx, table), v.g.OpenTable(ctx, table))
		if err != nil && !v.stopping.Load() {
			v.fault("close and open %s: %v", table, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
