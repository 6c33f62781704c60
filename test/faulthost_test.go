package test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// matrixPatience bounds every wait of the matrix: what takes longer hangs.
const matrixPatience = 60 * time.Second

var matrixTables = []string{"inbox", "outbox", "tasks"}

// matrixHost is a Gabion with three tables, of which faults befall one, or befall the making of another one, and what was
// asked of it.
type matrixHost struct {
	t      *testing.T
	fs     *faultFS
	config actors.Config
	system *actor.ActorSystem
	g      *actors.Gabion
	faulty string
	rows   *ledger
	others map[string]int // rows of each other table
	// written counts the rows that the phase's work wrote, for their keys.
	written int
	report  *messages.BackupReport // of the phase's run

	mu     sync.Mutex
	asked  []*asked
	states []*messages.TableStateChanged
	fatals []string // what Pebble would have ended the process for
	turned chan struct{}
}

// matrixConfig is the configuration of every host of the matrix. Set the limit of a stall here, short, for the cells
// that hang, once there is one. There is no drill: a proof keeps the backup that the prune is to remove.
func matrixConfig(fs vfs.FS, hangs bool) actors.Config {
	config := actors.Config{Dir: matrixDir, Tables: matrixTables, FS: fs, DisableSchedule: true, DisableDrill: true, Keep: 1,
		MemTableBytes: 16 << 10, FreezeAfter: 150 * time.Millisecond,
		CacheBytes: 1} // reads meet the disk
	if hangs {
		config.CutTimeout, config.CopyTimeout = time.Second, time.Second
	}
	return config
}

func newMatrixHost(t *testing.T, image *matrixImage, faulty string, hangs bool) *matrixHost {
	fs := newFaultFS(image.fs.CrashClone(vfs.CrashCloneCfg{}), faulty)
	h := &matrixHost{t: t, fs: fs, faulty: faulty, config: matrixConfig(fs, hangs), rows: newLedger(),
		others: make(map[string]int), turned: make(chan struct{})}
	for _, table := range matrixTables {
		h.others[table] = image.rows
	}
	if _, ok := h.others[faulty]; ok {
		delete(h.others, faulty)
		for i := range image.rows {
			h.rows.acked(imageRow(i), uint64(i+1))
		}
	}
	h.config.Logger = slog.New(&matrixLog{host: h})
	h.system = quietSystem()
	return h
}

// start starts the Gabion; it may last as long as what hangs.
func (h *matrixHost) start(ctx context.Context) error {
	g, err := actors.Start(ctx, h.system, h.config)
	if err != nil {
		return err
	}
	h.g = g
	g.Subscribe(func(event proto.Message) {
		if changed, ok := event.(*messages.TableStateChanged); ok {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.states = append(h.states, changed)
			close(h.turned)
			h.turned = make(chan struct{})
		}
	})
	return nil
}

// stop stops the Gabion, on a disk that works again.
func (h *matrixHost) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), matrixPatience)
	defer cancel()
	if err := h.g.Stop(ctx); err != nil {
		h.t.Errorf("stop: %v", err)
	}
}

// info is the table's row of ListTables.
func (h *matrixHost) info(ctx context.Context, table string) *messages.TableInfo {
	list, err := h.g.ListTables(ctx)
	if err != nil && ctx.Err() == nil {
		h.t.Errorf("list tables: %v", err)
	}
	for _, info := range list {
		if info.GetTable() == table {
			return info
		}
	}
	return &messages.TableInfo{}
}

// awaitState waits until the table is in one of the states, and returns its row.
func (h *matrixHost) awaitState(ctx context.Context, table string, wanted ...messages.TableState) (*messages.TableInfo, bool) {
	for {
		h.mu.Lock()
		turned := h.turned
		h.mu.Unlock()
		info := h.info(ctx, table)
		for _, state := range wanted {
			if info.GetState() == state {
				return info, true
			}
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return info, false
		}
	}
}

// troubles are the times that the table was closed for a fault, as text.
func (h *matrixHost) troubles(table string) (text []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.states {
		if e.GetTable() == table && (e.GetTo() == isReopening || e.GetTo() == isQuarantined) {
			text = append(text, fmt.Sprintf("%v: %s", e.GetTo(), e.GetReason()))
		}
	}
	return text
}

// asked is one request, and all its answers.
type asked struct {
	what    string
	mu      sync.Mutex
	answers []any
	done    chan struct{} // closed by the first
}

var _ actor.Process = (*asked)(nil)

// SendUserMessage implements actor.Process.
func (a *asked) SendUserMessage(_ *actor.PID, message any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = append(a.answers, actor.UnwrapEnvelopeMessage(message))
	if len(a.answers) == 1 {
		close(a.done)
	}
}

// SendSystemMessage implements actor.Process.
func (a *asked) SendSystemMessage(*actor.PID, any) {}

// Stop implements actor.Process.
func (a *asked) Stop(*actor.PID) {}

// one returns the only answer so far, nil without one.
func (a *asked) one() any {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.answers) != 1 {
		return nil
	}
	return a.answers[0]
}

// ask sends a request to a table's owner, and does not wait.
func (h *matrixHost) ask(table string, message proto.Message) *asked {
	a := &asked{what: fmt.Sprintf("%s: %.60v", table, message), done: make(chan struct{})}
	registry := h.system.ProcessRegistry
	pid, _ := registry.Add(a, "matrix/"+registry.NextId())
	h.mu.Lock()
	h.asked = append(h.asked, a)
	h.mu.Unlock()
	h.system.Root.RequestWithCustomSender(actor.NewPID(h.system.Address(), "gabion/"+table), message, pid)
	return a
}

// wait waits for the answer.
func (h *matrixHost) wait(ctx context.Context, a *asked) any {
	select {
	case <-a.done:
		return a.one()
	case <-ctx.Done():
		return nil
	}
}

// checkAnswers: each request was answered, once.
func (h *matrixHost) checkAnswers(ctx context.Context) {
	for _, a := range h.asked {
		h.wait(ctx, a)
		a.mu.Lock()
		if len(a.answers) != 1 {
			h.t.Errorf("%s was answered %d times: %.300v", a.what, len(a.answers), a.answers)
		}
		a.mu.Unlock()
	}
}

// tryOthers puts a row into each other table, reads it, an old row, and a page: all must be answered well.
func (h *matrixHost) tryOthers(ctx context.Context) {
	h.t.Helper()
	for table, n := range h.others {
		added, old := imageRow(n), imageRow(n/2)
		for _, want := range []struct {
			message proto.Message
			is      func(any) bool
		}{
			{added.put(), func(m any) bool { _, ok := m.(*messages.Committed); return ok }},
			{&messages.Get{Key: added.key}, added.isIn},
			{&messages.Get{Key: old.key}, old.isIn},
			{&messages.Scan{Start: added.key, Limit: 3}, func(m any) bool { p, ok := m.(*messages.Page); return ok && len(p.GetEntries()) == 1 }},
		} {
			if answer := h.wait(ctx, h.ask(table, want.message)); !want.is(answer) {
				h.t.Errorf("table %s, which is not at fault, answered %.60v with %.300v", table, want.message, answer)
				return
			}
		}
		h.others[table]++
	}
}

// awaitOthers waits, during a start, until the other tables are there.
func (h *matrixHost) awaitOthers(ctx context.Context) {
	for table := range h.others {
		for ctx.Err() == nil {
			a := h.ask(table, &messages.Get{Key: []byte("key")})
			answer := h.wait(ctx, a)
			if _, ok := answer.(*messages.Value); ok {
				break
			}
			pause()
		}
	}
}

// pause lets others go on, before something is tried again.
func pause() { <-time.After(time.Millisecond) }

// matrixLog notes what the host logs and must not happen in silence.
type matrixLog struct{ host *matrixHost }

func (l *matrixLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (l *matrixLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "would end the process") {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		l.host.mu.Lock()
		defer l.host.mu.Unlock()
		l.host.fatals = append(l.host.fatals, text)
	}
	return nil
}

func (l *matrixLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *matrixLog) WithGroup(string) slog.Handler      { return l }

// matrixImage is a stopped or killed Gabion, from which cells begin.
type matrixImage struct {
	fs   *vfs.MemFS
	rows int // of each table
}

// killed is what the end of the process leaves: all that was written, synced or not, and no name that was removed.
func (f *crashFS) killed() *vfs.MemFS {
	f.guard.Lock()
	defer f.guard.Unlock()
	left := vfs.NewCrashableMem()
	if _, err := vfs.Clone(f.mem, left, "/", "/", vfs.CloneSync); err != nil {
		panic(err)
	}
	return left
}

// newMatrixImage makes a Gabion with a few sstables, one backup and rows since; it is killed, or stopped.
func newMatrixImage(t *testing.T, killed bool) *matrixImage {
	t.Helper()
	fs := newCrashFS()
	system := quietSystem()
	defer system.Shutdown()
	ctx := context.Background()
	g, err := actors.Start(ctx, system, matrixConfig(fs, false))
	if err != nil {
		t.Fatal(err)
	}
	image := &matrixImage{}
	fill := func(n int) {
		for _, table := range matrixTables {
			for i := range n {
				r := imageRow(image.rows + i)
				if _, err := g.Table(table).Put(ctx, r.key, r.value); err != nil {
					t.Fatal(err)
				}
			}
		}
		image.rows += n
	}
	fill(70)
	_, err = g.BackupAll(ctx)
	fill(10)
	if killed {
		image.fs = fs.killed()
	}
	if err := errors.Join(err, g.Stop(ctx)); err != nil {
		t.Fatal(err)
	}
	if !killed {
		image.fs = fs.clone(0, nil)
	}
	return image
}
