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
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

const eventLog = dir + "/events"

// logged returns the logged events that m asks for.
func (h *host) logged(m *messages.ListEvents) []*messages.LoggedEvent {
	h.Helper()
	var all []*messages.LoggedEvent
	for e, err := range h.g.Events(h.Context(), m) {
		if err != nil {
			h.Fatalf("events: %v", err)
		}
		if len(all) > 0 && e.GetSeq() <= all[len(all)-1].GetSeq() {
			h.Errorf("event %d follows event %d", e.GetSeq(), all[len(all)-1].GetSeq())
		}
		all = append(all, e)
	}
	return all
}

// kinds names the events' types.
func kinds(events []*messages.LoggedEvent) string {
	var names []string
	for _, e := range events {
		names = append(names, string(proto.MessageName(e.Message()).Name()))
	}
	return strings.Join(names, " ")
}

// warnings keeps what is logged at a level of Warn or above.
func (h *host) warnings() *lines {
	l := &lines{}
	h.config.Logger = slog.New(&hookHandler{func(r slog.Record) {
		if r.Level >= slog.LevelWarn {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.texts = append(l.texts, r.Message)
		}
	}})
	return l
}

type lines struct {
	mu    sync.Mutex
	texts []string
}

func (l *lines) with(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range l.texts {
		if strings.Contains(text, part) {
			n++
		}
	}
	return n
}

// TestYesterdaysEvents: what was published is listed, in order, with the time when it was, also after a restart and by a
// read-only Gabion, which writes nothing.
func TestYesterdaysEvents(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		begin := time.Now()
		h.put("tasks", "k", "v")
		seen := h.events()
		h.backup()
		const run = "TableStateChanged BackupStarted TableBackedUp BackupComplete"
		first := h.logged(nil)
		if kinds(first) != run {
			t.Errorf("logged %s", kinds(first))
		}
		for i, event := range eventsOf[proto.Message](seen) {
			if !proto.Equal(event, first[i+1].Message()) {
				t.Errorf("logged %v, published %v", first[i+1].Message(), event)
			}
		}
		h.stop()
		pass(24 * time.Hour)
		h.start()
		all := h.logged(&messages.ListEvents{})
		if kinds(all) != run+" TableStateChanged TableStateChanged" { // closed, open
			t.Errorf("logged %s", kinds(all))
		}
		for i, e := range all {
			if at := e.GetTime().AsTime(); i < 5 != at.Before(begin.Add(time.Hour)) || at.Before(begin) || at.After(time.Now()) {
				t.Errorf("event %d of %v", i, at)
			}
		}
		if today := h.logged(&messages.ListEvents{Since: timestamppb.New(begin.Add(time.Hour))}); kinds(today) != "TableStateChanged" {
			t.Errorf("of today: %s", kinds(today))
		}
		if got := h.logged(&messages.ListEvents{After: all[1].GetSeq(), Limit: 2}); kinds(got) != "TableBackedUp BackupComplete" {
			t.Errorf("two of the run: %s", kinds(got))
		}
		h.stop()
		before := h.tree(eventLog)
		h.config.ReadOnly = true
		warned := h.warnings()
		h.start()
		if got := h.logged(nil); len(got) != len(all)+1 {
			t.Errorf("read-only: %s", kinds(got))
		}
		h.stop()
		if after := h.tree(eventLog); !slices.Equal(before, after) {
			t.Errorf("read-only changed %v to %v", before, after)
		}
		if n := warned.with("events"); n > 0 {
			t.Errorf("read-only: %d warnings", n)
		}
	})
}

// TestListEvents: the message bounds its answer and says where it goes on; a bad one is refused.
func TestListEvents(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.backup()
		var found []*messages.LoggedEvent
		m := &messages.ListEvents{Limit: 3}
		for range 2 {
			answer, err := h.system.Root.RequestFuture(h.g.Coordinator(), m, time.Minute).Result()
			list, ok := answer.(*messages.EventList)
			if !ok || err != nil {
				t.Fatalf("answered %v, %v", answer, err)
			}
			found = append(found, list.GetEvents()...)
			if m = (&messages.ListEvents{After: list.GetNext(), Limit: 3}); m.After != 0 && len(list.GetEvents()) != 3 {
				t.Errorf("%d events, next %d", len(list.GetEvents()), m.After)
			}
		}
		if len(found) != 4 || m.After != 0 {
			t.Errorf("two pages: %s, next %d", kinds(found), m.After)
		}
		for _, err := range h.g.Events(h.Context(), &messages.ListEvents{Since: &timestamppb.Timestamp{Nanos: -1}}) {
			if !errors.Is(err, messages.ErrInvalid) {
				t.Errorf("a since that is no time: %v", err)
			}
		}
		n := 0
		for range h.g.Events(h.Context(), nil) {
			if n++; n == 2 {
				break
			}
		}
	})
}

// TestDurableEvents: a crash leaves every BackupComplete that was logged, and what was published before; after Stop it leaves
// all.
func TestDurableEvents(t *testing.T) {
	mem := vfs.NewCrashableMem()
	bubble(t, actors.Config{FS: mem}, func(h *host) {
		h.backup()
		h.settle()
		crash := func() []*messages.LoggedEvent {
			after := prepare(h.T, actors.Config{FS: mem.CrashClone(vfs.CrashCloneCfg{}), ReadOnly: true})
			after.start()
			defer after.stop()
			return after.logged(nil)
		}
		const run = "TableStateChanged BackupStarted TableBackedUp BackupComplete"
		if got := kinds(crash()); got != run {
			t.Errorf("after BackupComplete a crash leaves %q", got)
		}
		h.stop()
		if got := kinds(crash()); got != run+" TableStateChanged" {
			t.Errorf("after Stop a crash leaves %q", got)
		}
	})
}

// TestEventNumbersAcrossCrashes: no number is given twice, neither where a crash took the last events from the log, nor where
// the clock went back.
func TestEventNumbersAcrossCrashes(t *testing.T) {
	mem := vfs.NewCrashableMem()
	bubble(t, actors.Config{FS: mem}, func(h *host) {
		h.backup()
		for range 3 {
			if err := errors.Join(h.g.CloseTable(h.Context(), "tasks"), h.g.OpenTable(h.Context(), "tasks")); err != nil {
				t.Fatal(err)
			}
		}
		lost := h.logged(nil)
		h.settle()
		pass(time.Millisecond)
		after := prepare(h.T, actors.Config{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
		after.start()
		left := after.logged(nil)
		if len(left) != 5 || left[3].GetSeq() != lost[3].GetSeq() || left[4].GetSeq() <= lost[len(lost)-1].GetSeq() {
			t.Errorf("a crash left %v of %v", left, lost)
		}
		after.stop()

		const ahead = uint64(1) << 60
		line, err := protojson.Marshal(&messages.LoggedEvent{Seq: ahead, Time: timestamppb.Now()})
		if err != nil {
			t.Fatal(err)
		}
		f, err := after.fs.Create(fmt.Sprintf("%s/%020d.jsonl", eventLog, ahead), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		after.start()
		got := after.logged(&messages.ListEvents{After: ahead})
		if len(got) != 1 || got[0].GetSeq() != ahead+1 {
			t.Errorf("behind event %d: %v", ahead, got)
		}
		after.stop()
	})
}

// TestFailingEventLog: a log that cannot be written costs neither a commit nor a run nor an event, and one warning. When it
// can be written again it is.
func TestFailingEventLog(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync", "fsync", "mkdir", "list", "read"} {
		match := under(eventLog, kind)
		if kind == "fsync" { // of a file, not of the directory
			match = func(o fileOp) bool { return o.kind == "sync" && strings.HasSuffix(o.path, ".jsonl") }
		}
		stoppedBubble(t, actors.Config{}, func(h *host) {
			warned := h.warnings()
			remove := h.fs.fail(match)
			h.start()
			seen := h.events()
			for i := range 3 {
				h.put("tasks", "k", fmt.Sprint(i))
				h.wantRow(h.backup()["tasks"], backedUp)
			}
			if n := len(eventsOf[*messages.BackupComplete](seen)); n != 3 {
				t.Errorf("%s fails: %d BackupComplete", kind, n)
			}
			remove()
			h.put("tasks", "k", "v")
			h.backup()
			if n := len(eventsOf[*messages.BackupComplete](seen)); n != 4 {
				t.Errorf("%s failed: %d BackupComplete", kind, n)
			}
			if got := kinds(h.logged(nil)); !strings.HasSuffix(got, "BackupStarted TableBackedUp BackupComplete") {
				t.Errorf("%s failed: then logged %s", kind, got)
			}
			want := 1
			if kind == "read" { // only a file that is there is read
				want = 0
			}
			if n := warned.with("events are not logged"); n != want {
				t.Errorf("%s fails: %d warnings", kind, n)
			}
			h.stop()
		})
	}
}

// TestHungEventLog: a log that hangs holds up nobody but those who read it; the directory stays locked until it is
// written no more.
func TestHungEventLog(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync", "mkdir"} {
		stoppedBubble(t, actors.Config{}, func(h *host) {
			warned := h.warnings()
			release := h.fs.hang(h.T, under(eventLog, kind))
			published := time.Now()
			h.start()
			seen := h.events()
			for i := range 3 {
				h.put("tasks", "k", fmt.Sprint(i))
				h.wantRow(h.backup()["tasks"], backedUp)
			}
			if n := len(eventsOf[*messages.BackupComplete](seen)); n != 3 {
				t.Errorf("%s hangs: %d BackupComplete", kind, n)
			}
			pass(time.Minute)
			if n := warned.with("waits for its disk"); n != 1 {
				t.Errorf("%s hangs: %d warnings", kind, n)
			}
			for range 3 {
				for _, err := range h.g.Events(h.Context(), nil) {
					if !errors.Is(err, messages.ErrDeadline) {
						t.Errorf("%s hangs: events: %v", kind, err)
					}
				}
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			err := h.g.Stop(ctx)
			if err == nil || time.Since(begin) > 6*time.Second {
				t.Fatalf("%s hangs: stop: %v after %v", kind, err, time.Since(begin))
			}
			wantText(t, err.Error(), "event log")
			if _, err := actors.Start(h.Context(), h.system, h.config); err == nil {
				t.Fatalf("%s hangs: the directory was released", kind)
			}
			release()
			h.settle()
			h.start()
			got := h.logged(nil)
			if strings.Count(kinds(got), "BackupComplete") != 3 {
				t.Errorf("%s hung: logged %s", kind, kinds(got))
			}
			for _, e := range got {
				if at := e.GetTime().AsTime(); e.GetBackupComplete() != nil && at.After(published.Add(time.Second)) {
					t.Errorf("%s hung: a run of %v was logged as of %v", kind, published, at)
				}
			}
			h.stop()
		})
	}
}

// TestListEventsBehindFullQueue: who reads while more events wait than the log's queue holds is answered once they are written.
func TestListEventsBehindFullQueue(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.logged(nil)
		release := h.fs.hang(h.T, under(eventLog, "write"))
		for range 400 { // three events each
			if err := errors.Join(h.g.CloseTable(h.Context(), "tasks"), h.g.OpenTable(h.Context(), "tasks")); err != nil {
				t.Fatal(err)
			}
		}
		read := make(chan int)
		go func() { read <- len(h.logged(nil)) }()
		h.settle()
		release()
		if n := <-read; n < 1000 || n > 1030 {
			t.Errorf("%d events were listed, of some 1,200", n)
		}
	})
}
