package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errInjected is what an injected fault returns.
var errInjected = errors.New("injected fault")

// host is a Gabion in memory and what a test needs around it. Within a bubble, settle makes every test of
// "exactly once" and "not yet" exact: it returns when every goroutine waits.
type host struct {
	*testing.T
	fs     *hookFS
	system *actor.ActorSystem
	config actors.Config
	g      *actors.Gabion
	// middle may be set by a test; it runs around every message of owners and the coordinator. Nil, unless the config
	// is intercepted.
	middle *middleware
}

const (
	dir     = "/data"
	backups = "/data/backups"
)

// bubble runs test in a synctest bubble, with a Gabion of the given tables in memory.
func bubble(t *testing.T, config actors.Config, test func(h *host)) {
	t.Helper()
	stoppedBubble(t, config, func(h *host) {
		h.start()
		test(h)
	})
}

// pass lets time pass, in a bubble.
func pass(d time.Duration) { time.Sleep(d) }

// stoppedBubble is bubble with a Gabion that the test starts.
func stoppedBubble(t *testing.T, config actors.Config, test func(h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(throttle) })
		test(prepare(t, config))
	})
}

// newHost starts a Gabion in memory and stops it, bounded, when the test ends.
func newHost(t *testing.T, config actors.Config) *host {
	t.Helper()
	h := prepare(t, config)
	h.start()
	return h
}

// prepare makes the host without its Gabion.
func prepare(t *testing.T, config actors.Config) *host {
	t.Helper()
	h := &host{T: t, system: newSystem(t)}
	if config.FS == nil {
		config.FS = vfs.NewMem()
	}
	h.fs = &hookFS{FS: config.FS}
	config.FS = h.fs
	config.Dir = dir
	if len(config.Tables) == 0 {
		config.Tables = []string{"tasks"}
	}
	if config.Interval == 0 && config.Cron == "" {
		config.DisableSchedule = true
	}
	if config.DrillEvery == 0 {
		config.DisableDrill = true
	}
	if config.Middleware != nil {
		h.middle = &middleware{}
		config.Middleware = append(config.Middleware, h.middle.receive)
	}
	h.config = config
	t.Cleanup(func() {
		if h.g != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_ = h.g.Stop(ctx)
		}
	})
	return h
}

// throttle is how long the framework keeps a goroutine after a dead letter.
const throttle = time.Millisecond

// newSystem makes a quiet actor system that ends with the test.
func newSystem(t *testing.T) *actor.ActorSystem {
	system := actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }),
		actor.WithDeadLetterThrottleInterval(throttle))
	t.Cleanup(system.Shutdown)
	return system
}

func (h *host) start() {
	h.Helper()
	g, err := actors.Start(h.Context(), h.system, h.config)
	if err != nil {
		h.Fatalf("start: %v", err)
	}
	h.g = g
}

// stop stops the Gabion and wants no error.
func (h *host) stop() {
	h.Helper()
	if err := h.g.Stop(context.Background()); err != nil {
		h.Errorf("stop: %v", err)
	}
}

// settle waits, in a bubble, until nothing can happen before time passes.
func (h *host) settle() { synctest.Wait() }

func (h *host) pid(table string) *actor.PID {
	h.Helper()
	pid := h.g.PID(table)
	if pid == nil {
		h.Fatalf("no PID of table %q", table)
	}
	return pid
}

func (h *host) put(table, key, value string) uint64 {
	h.Helper()
	seq, err := h.g.Table(table).Put(h.Context(), []byte(key), []byte(value))
	if err != nil {
		h.Fatalf("put: %v", err)
	}
	return seq
}

// wantValue wants a table to hold value under key; "" means none.
func (h *host) wantValue(table, key, value string) {
	h.Helper()
	got, err := h.g.Table(table).Get(h.Context(), []byte(key))
	switch {
	case value == "" && errors.Is(err, messages.ErrNotFound):
	case err != nil:
		h.Errorf("get %q: %v, want %q", key, err, value)
	case string(got) != value:
		h.Errorf("get %q = %q, want %q", key, got, value)
	}
}

func (h *host) info(table string) *messages.TableInfo {
	h.Helper()
	list, err := h.g.ListTables(h.Context())
	if err != nil {
		h.Fatalf("list tables: %v", err)
	}
	i := slices.IndexFunc(list, func(info *messages.TableInfo) bool { return info.GetTable() == table })
	if i < 0 {
		h.Fatalf("ListTables does not name %q", table)
	}
	return list[i]
}

func (h *host) wantState(table string, want messages.TableState) {
	h.Helper()
	if got := h.info(table); got.GetState() != want {
		h.Errorf("table %q is %v (%s), want %v", table, got.GetState(), got.GetReason(), want)
	}
}

// report is the health of all tables.
func (h *host) report() *messages.HealthReport {
	h.Helper()
	report, err := h.g.Health(h.Context())
	if err != nil {
		h.Fatalf("health: %v", err)
	}
	return report
}

// health is one table's row.
func (h *host) health(table string) *messages.TableHealth {
	h.Helper()
	for _, row := range h.report().GetTables() {
		if row.GetTable() == table {
			return row
		}
	}
	h.Fatalf("health has no row of %q", table)
	return nil
}

// backup runs BackupAll and returns the rows by table.
func (h *host) backup(tables ...string) map[string]*messages.TableResult {
	h.Helper()
	report, err := h.g.BackupAll(h.Context(), tables...)
	if err != nil {
		h.Fatalf("backup: %v", err)
	}
	return rows(report)
}

func rows(report *messages.BackupReport) map[string]*messages.TableResult {
	rows := make(map[string]*messages.TableResult)
	for _, r := range report.GetSet().GetResults() {
		rows[r.GetTable()] = r
	}
	return rows
}

// tree lists every path under root, files with their content.
func (h *host) tree(root string) []string {
	h.Helper()
	return tree(h.T, h.fs.FS, root)
}

func tree(t *testing.T, fs vfs.FS, root string) []string {
	t.Helper()
	var paths []string
	var walk func(p string)
	walk = func(p string) {
		info, err := fs.Stat(p)
		if err != nil {
			return
		}
		if !info.IsDir() {
			paths = append(paths, fmt.Sprintf("%s %d %v", p, info.Size(), info.ModTime()))
			return
		}
		paths = append(paths, p+"/")
		names, err := fs.List(p)
		if err != nil {
			t.Fatalf("list %s: %v", p, err)
		}
		slices.Sort(names)
		for _, name := range names {
			walk(fs.PathJoin(p, name))
		}
	}
	walk(root)
	return paths
}

func put(key, value string) *messages.Put {
	return &messages.Put{Key: []byte(key), Value: []byte(value)}
}

func get(key string) *messages.Get { return &messages.Get{Key: []byte(key)} }

func putOp(key, value string) *messages.Op {
	return &messages.Op{Op: &messages.Op_Put{Put: put(key, value)}}
}

// events collects what is published, in order.
type events struct {
	h   *host
	mu  sync.Mutex
	all []proto.Message
}

func (h *host) events() *events {
	e := &events{h: h}
	h.Cleanup(h.g.Subscribe(func(event proto.Message) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, event)
	}))
	return e
}

// eventsOf returns the events of one type that were published so far, in a bubble.
func eventsOf[T proto.Message](e *events) []T {
	e.h.settle()
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []T
	for _, event := range e.all {
		if m, ok := event.(T); ok {
			found = append(found, m)
		}
	}
	return found
}

// wantText wants every part in text.
func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("text %q does not say %q", text, part)
		}
	}
}
