package test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

var (
	modelSeed    = flag.Uint64("model.seed", 0, "seed of the model test; 0 takes the clock")
	modelRuns    = flag.Int("model.runs", 8, "runs of the model test, each with a seed of its own")
	modelSteps   = flag.Int("model.steps", 300, "requests of each sender in one run")
	modelSenders = flag.Int("model.senders", 5, "senders of one run")
)

// TestModel lets many senders, and as many callers of handles, write and read one table while its owner panics, the table is closed, opened
// and backed up, and crashes are taken. What was acknowledged is in every later crash; what a crash leaves is a
// prefix by seq; count, bytes and fingerprint are those of a scan; no read showed what a crash then took back;
// each sender sees its own writes, and everybody what was acknowledged before.
func TestModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *modelRuns {
		seed := seed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Logf("repeat with -run 'TestModel' -model.runs 1 -model.seed %d", seed)
			newModel(t, seed).run()
		})
	}
}

const modelKeys = 24

// model is one run: what was sent, what was answered, and the crashes taken.
type model struct {
	t    *testing.T
	rng  *rand.Rand // for the test's own goroutine
	seed uint64
	fs   *crashFS
	g    *actors.Gabion
	sys  *actor.ActorSystem

	mu     sync.Mutex
	clock  int // counts sends, answers and crashes, in order
	writes []*modelWrite
	reads  []*modelRead
	clones []modelCrash
}

type modelWrite struct {
	sender int
	ops    []*messages.Op
	sent   int
	acked  int // 0: not acknowledged
	seq    uint64
	ref    error // why it was not carried out
}

// modelRead is what a read said of one key.
type modelRead struct {
	sender   int
	key      string
	value    string
	found    bool
	seq      uint64 // the answer's own, 0 where it has none
	sent     int
	answered int
}

type modelCrash struct {
	at      int
	percent int
	fs      *vfs.MemFS
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), fs: newCrashFS()}
	delays := rand.New(rand.NewPCG(seed, 2))
	var mu sync.Mutex
	m.fs.beforeSync = func() {
		mu.Lock()
		n := delays.IntN(2000)
		mu.Unlock()
		// Everybody else gets far ahead of the disk, now and then.
		yield(n)
	}
	return m
}

// yield lets other goroutines run, n times.
func yield(n int) {
	for range n {
		runtime.Gosched()
	}
}

// quietSystem logs nothing, and keeps no goroutine for a second after a dead letter, as the framework does by default.
func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithDeadLetterThrottleInterval(time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}

func (m *model) config(fs vfs.FS) actors.Config {
	return actors.Config{Dir: "/g", Tables: []string{"t"}, FS: fs, DisableSchedule: true, MemTableBytes: 32 << 10}
}

func (m *model) run() {
	ctx := context.Background()
	m.sys = quietSystem()
	config := m.config(m.fs)
	if m.seed%2 == 0 { // without middleware handles go past the mailbox
		config.Middleware = []actor.ReceiverMiddleware{m.panics()}
	}
	g, err := actors.Start(ctx, m.sys, config)
	if err != nil {
		m.t.Fatal(err)
	}
	m.g = g
	var senders, disturbers sync.WaitGroup
	done := make(chan struct{})
	disturbers.Go(func() { m.disturb(done) })
	for i := range *modelSenders {
		senders.Go(func() { m.send(i) })
		senders.Go(func() { m.call(i) })
	}
	senders.Wait()
	close(done)
	disturbers.Wait()
	m.takeCrash(0, m.rng)
	if err := g.Stop(ctx); err != nil {
		m.t.Fatal(err)
	}
	m.takeCrash(0, m.rng)
	history := m.history()
	panics := 0
	for _, w := range m.writes {
		if errors.Is(w.ref, messages.ErrInternal) {
			panics++
		}
	}
	m.t.Logf("%d writes, %d operations, %d panics answered, %d rows read, %d crashes",
		len(m.writes), len(history), panics, len(m.reads), len(m.clones))
	m.checkReads(history)
	for _, crash := range m.clones {
		m.checkCrash(crash, history)
	}
	m.sys.Shutdown()
}

// panics lets the owner panic now and then, before it handles a request or after.
func (m *model) panics() actor.ReceiverMiddleware {
	rng := rand.New(rand.NewPCG(m.seed, 3))
	var mu sync.Mutex
	return func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, e *actor.MessageEnvelope) {
			mu.Lock()
			n := rng.IntN(120)
			mu.Unlock()
			_, ours := e.Message.(proto.Message)
			if _, lifecycle := e.Message.(actor.SystemMessage); lifecycle || e.Sender == nil || !ours {
				n = 2
			}
			if n == 0 {
				panic("before")
			}
			next(c, e)
			if n == 1 {
				panic("after")
			}
		}
	}
}

// disturb closes and opens the table, and backs it up.
func (m *model) disturb(done <-chan struct{}) {
	rng := rand.New(rand.NewPCG(m.seed, 4))
	ctx := context.Background()
	for {
		select {
		case <-done:
			return
		default:
		}
		yield(rng.IntN(60_000))
		if rng.IntN(6) == 0 {
			if err := m.g.CloseTable(ctx, "t"); err != nil {
				m.t.Errorf("close: %v", err)
			}
			if err := m.g.OpenTable(ctx, "t"); err != nil {
				m.t.Errorf("open: %v", err)
			}
			continue
		}
		if _, err := m.g.BackupAll(ctx); err != nil && !errors.Is(err, messages.ErrInternal) {
			m.t.Errorf("backup: %v", err)
		}
	}
}

func (m *model) takeCrash(percent int, rng *rand.Rand) {
	m.mu.Lock()
	m.clock++
	at := m.clock // whatever was answered before is before the crash
	m.mu.Unlock()
	clone := m.fs.clone(percent, rng)
	m.mu.Lock()
	m.clones = append(m.clones, modelCrash{at: at, percent: percent, fs: clone})
	m.mu.Unlock()
}

// send is one sender: it sends a few requests without waiting, then waits for the answers.
func (m *model) send(id int) {
	rng := rand.New(rand.NewPCG(m.seed, 100+uint64(id)))
	pid := m.g.PID("t")
	for sent := 0; sent < *modelSteps; {
		var waits []func()
		for range 1 + rng.IntN(8) {
			sent++
			waits = append(waits, m.request(rng, id, fmt.Sprintf("%d-%d", id, sent), pid))
		}
		if rng.IntN(8) == 0 {
			m.takeCrash([]int{0, 0, 50, 100}[rng.IntN(4)], rng)
		}
		for _, wait := range waits {
			wait()
		}
	}
}

func modelKey(rng *rand.Rand) string { return fmt.Sprintf("k%02d", rng.IntN(modelKeys)) }

// request sends one random request and returns what waits for its answer.
func (m *model) request(rng *rand.Rand, id int, unique string, pid *actor.PID) (wait func()) {
	switch n := rng.IntN(20); {
	case n < 6:
		return m.read(id, modelKey(rng), pid)
	case n < 8:
		return m.scan(id, pid)
	}
	w, message := m.write(rng, id, unique)
	future := m.sys.Root.RequestFuture(pid, message, time.Hour)
	return func() {
		reply, err := future.Result()
		switch r := reply.(type) {
		case *messages.Committed:
			m.answered(w, r.GetSeq(), nil)
		case *messages.Failure:
			m.answered(w, 0, r)
		default:
			m.t.Errorf("write answered with %T, %v", reply, err)
		}
	}
}

// write makes a random write.
func (m *model) write(rng *rand.Rand, sender int, unique string) (*modelWrite, proto.Message) {
	w := &modelWrite{sender: sender}
	var message proto.Message
	switch rng.IntN(20) {
	case 0:
		d := &messages.DeleteRange{Start: []byte(modelKey(rng)), End: []byte("k99")}
		w.ops, message = []*messages.Op{{Op: &messages.Op_DeleteRange{DeleteRange: d}}}, d
	case 1, 2, 3:
		d := &messages.Delete{Key: []byte(modelKey(rng))}
		w.ops, message = []*messages.Op{{Op: &messages.Op_Delete{Delete: d}}}, d
	case 4, 5, 6, 7:
		many := &messages.Write{}
		for i := range 1 + rng.IntN(4) {
			key := []byte(modelKey(rng))
			op := messages.PutOp(key, fmt.Appendf(nil, "%s-%d", unique, i))
			if rng.IntN(6) == 0 {
				op = &messages.Op{Op: &messages.Op_DeleteRange{DeleteRange: &messages.DeleteRange{Start: key, End: append(key, 'z')}}}
			}
			many.Ops = append(many.Ops, op)
		}
		if rng.IntN(3) == 0 {
			many.Conditions = []*messages.Condition{messages.IfAbsent([]byte(modelKey(rng)))}
		}
		w.ops, message = many.GetOps(), many
	default:
		p := &messages.Put{Key: []byte(modelKey(rng)), Value: []byte(unique + strings.Repeat(".", rng.IntN(200)))}
		w.ops, message = []*messages.Op{{Op: &messages.Op_Put{Put: p}}}, p
	}
	m.mu.Lock()
	m.clock++
	w.sent = m.clock
	m.writes = append(m.writes, w)
	m.mu.Unlock()
	return w, message
}

// answered notes the answer to a write.
func (m *model) answered(w *modelWrite, seq uint64, failure *messages.Failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	if failure == nil {
		w.seq, w.acked = seq, m.clock
		return
	}
	w.ref = failure
	if failure.GetOutcomeUnknown() {
		m.t.Errorf("outcome unknown without a fault: %v", failure)
	}
}

func (m *model) sendRead(message proto.Message, pid *actor.PID) (sent int, future *actor.Future) {
	sent = m.now()
	return sent, m.sys.Root.RequestFuture(pid, message, time.Hour)
}

func (m *model) read(id int, key string, pid *actor.PID) func() {
	sent, future := m.sendRead(&messages.Get{Key: []byte(key)}, pid)
	return func() {
		reply, err := future.Result()
		switch r := reply.(type) {
		case *messages.Value:
			m.addReads(&modelRead{sender: id, key: key, value: string(r.GetValue()), found: r.GetFound(), seq: r.GetSeq(), sent: sent})
		case *messages.Failure:
		default:
			m.t.Errorf("get answered with %T, %v", reply, err)
		}
	}
}

func (m *model) scan(id int, pid *actor.PID) func() {
	sent, future := m.sendRead(&messages.Scan{}, pid)
	return func() {
		reply, err := future.Result()
		switch r := reply.(type) {
		case *messages.Page:
			m.addPage(id, sent, r)
		case *messages.Failure:
		default:
			m.t.Errorf("scan answered with %T, %v", reply, err)
		}
	}
}

// addPage notes what a scan of all rows returned.
func (m *model) addPage(sender, sent int, page *messages.Page) {
	found := make(map[string]string)
	for _, entry := range page.GetEntries() {
		found[string(entry.GetKey())] = string(entry.GetValue())
	}
	var reads []*modelRead
	for i := range modelKeys {
		key := fmt.Sprintf("k%02d", i)
		value, ok := found[key]
		reads = append(reads, &modelRead{sender: sender, key: key, value: value, found: ok, sent: sent})
	}
	m.addReads(reads...)
}

func (m *model) addReads(reads ...*modelRead) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	for _, r := range reads {
		r.answered = m.clock
	}
	m.reads = append(m.reads, reads...)
}
