package actors_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// batch is a framework's message of messages.
type batch []any

func (b batch) GetMessages() []any { return b }

// typedNils are requests that are nil inside.
func typedNils() []any {
	return []any{
		(*messages.Put)(nil), (*messages.Delete)(nil), (*messages.DeleteRange)(nil),
		(*messages.Write)(nil), (*messages.Get)(nil), (*messages.Scan)(nil), (*messages.Cut)(nil),
		&messages.Write{Ops: []*messages.Op{nil}}, &messages.Write{Conditions: []*messages.Condition{nil}},
		&messages.Write{Ops: []*messages.Op{{Op: &messages.Op_Put{}}}},
	}
}

// TestOwnerAnswersNonsense: whatever an owner is sent, it answers once, and goes on.
func TestOwnerAnswersNonsense(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		pid := h.pid("tasks")
		nothing := h.send(pid, nil)
		var nils []*sender
		for _, m := range typedNils() {
			nils = append(nils, h.send(pid, m))
		}
		var unknown []*sender
		for _, m := range []any{"text", 7, struct{}{}, &messages.ListTables{}, &messages.BackupAll{}, errors.New("x"), &actor.Started{}, &actor.ReceiveTimeout{}} {
			unknown = append(unknown, h.send(pid, m))
		}
		h.settle()
		nothing.failure("nil", messages.Code_CODE_INVALID_ARGUMENT)
		for i, s := range nils {
			switch answer := s.one("nil request").(type) {
			case *messages.Failure:
				if answer.GetCode() != messages.Code_CODE_INVALID_ARGUMENT {
					t.Errorf("%T nil was answered %v", typedNils()[i], answer)
				}
			case *messages.Page, *messages.CutDone: // an empty Scan and an empty Cut are good requests
			default:
				t.Errorf("%T nil was answered %v", typedNils()[i], answer)
			}
		}
		for _, s := range unknown {
			s.failure("unknown message", messages.Code_CODE_UNIMPLEMENTED)
		}
		// Nobody waits for these.
		for _, m := range append(typedNils(), nil, "text", put("quiet", "x"), (*actor.MessageEnvelope)(nil), &actor.MessageEnvelope{}) {
			h.system.Root.Send(pid, m)
		}
		h.settle()
		if n := h.g.Queued("tasks"); n != 0 {
			t.Errorf("the mailbox believes to hold %d messages", n)
		}
		h.wantValue("tasks", "quiet", "x")
		if n := h.health("tasks").GetRestarts(); n != 0 {
			t.Errorf("restarts = %d, want none", n)
		}
	})
}

// TestCoordinatorAndSupervisorAnswerNonsense is the same for the other two.
func TestCoordinatorAndSupervisorAnswerNonsense(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		for name, pid := range map[string]*actor.PID{"coordinator": h.g.Coordinator(), "supervisor": h.g.Supervisor()} {
			var all []*sender
			for _, m := range []any{nil, "text", put("key", "x"), (*messages.CloseTable)(nil), (*messages.OpenTable)(nil), &messages.CloseTable{Table: "nowhere"},
				&messages.BackupAll{Tables: []string{"nowhere"}}, &messages.BackupAll{Tables: []string{"Bad Name"}}, &actor.Started{},
				&messages.PruneBackups{Tables: []string{"nowhere"}}, &messages.PinBackup{Table: "tasks", BackupId: "7"}} {
				all = append(all, h.send(pid, m))
				h.system.Root.Send(pid, m)
			}
			h.settle()
			for i, s := range all {
				if f, ok := s.one(name).(*messages.Failure); !ok || f.GetHint() == "" {
					t.Errorf("%s answered request %d with %v, want a Failure with a hint", name, i, s.answers())
				}
			}
			for _, m := range []any{(*messages.BackupAll)(nil), (*messages.HealthMetrics)(nil), (*messages.ListBackups)(nil), (*messages.ListTables)(nil),
				(*messages.PruneBackups)(nil), (*messages.PinBackup)(nil), &messages.PruneBackups{DryRun: true}} {
				s := h.send(pid, m)
				h.settle()
				s.one(name)
			}
		}
		if n := h.g.Queued("backup"); n != 0 {
			t.Errorf("the coordinator's mailbox believes to hold %d messages", n)
		}
		h.backup()
	})
}

// TestBatchIsItsParts: a batch is carried out part by part, and answered part by part.
func TestBatchIsItsParts(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		s := h.send(h.pid("tasks"), batch{put("a", "1"), nil, batch{put("b", "2"), (*messages.Put)(nil)}, get("a")})
		h.system.Root.Send(h.pid("tasks"), batch{put("c", "3"), nil})
		h.settle()
		committed, values, failures := 0, 0, 0
		for _, answer := range s.answers() {
			switch answer.(type) {
			case *messages.Committed:
				committed++
			case *messages.Value:
				values++
			case *messages.Failure:
				failures++
			}
		}
		if committed != 2 || values != 1 || failures != 2 || len(s.answers()) != 5 {
			t.Errorf("answers = %v, want two Committed, one Value and two Failures", s.answers())
		}
		for key, value := range map[string]string{"a": "1", "b": "2", "c": "3"} {
			h.wantValue("tasks", key, value)
		}
		if n := h.g.Queued("tasks"); n != 0 {
			t.Errorf("the mailbox believes to hold %d messages", n)
		}
	})
}

// TestNobodyElseStopsAnActor: the framework's Stop and Poison, sent by a stranger, lose nothing that waits.
func TestNobodyElseStopsAnActor(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		open := h.fs.hang(h.T, walSync("tasks"))
		var writes []*sender
		for _, pid := range []*actor.PID{h.pid("tasks"), h.g.Coordinator()} {
			for range 5 {
				writes = append(writes, h.send(h.pid("tasks"), put("key", "value")))
				h.system.Root.Stop(pid)
				h.system.Root.Poison(pid)
				h.send(pid, &actor.PoisonPill{})
				h.system.Root.Send(pid, batch{&actor.PoisonPill{}})
			}
		}
		open()
		h.settle()
		for _, s := range writes {
			s.committed("put")
		}
		h.put("tasks", "after", "x")
		h.backup()
		h.stop()
	})
}

// TestFuturesAndFireAndForget: the framework's own ways to ask.
func TestFuturesAndFireAndForget(t *testing.T) {
	h := newHost(t, actors.Config{})
	h.system.Root.Send(h.pid("tasks"), put("quiet", "1"))
	answer, err := h.system.Root.RequestFuture(h.pid("tasks"), get("quiet"), time.Minute).Result()
	if v, ok := answer.(*messages.Value); err != nil || !ok || string(v.GetValue()) != "1" {
		t.Errorf("future = %v, %v", answer, err)
	}
	answer, err = h.system.Root.RequestFuture(h.g.Supervisor(), &messages.ListTables{}, time.Minute).Result()
	if list, ok := answer.(*messages.TableList); err != nil || !ok || len(list.GetTables()) != 1 {
		t.Errorf("future = %v, %v", answer, err)
	}
}

// TestEveryStateAnswers: a table that does not serve says so at once, with how long to wait and what to do.
func TestEveryStateAnswers(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		refused := func(state string, late bool) {
			t.Helper()
			for what, request := range requests("key") {
				s := h.send(h.pid("tasks"), request)
				h.settle()
				f := s.failure(what, messages.Code_CODE_UNAVAILABLE)
				wantText(t, f.GetMessage(), state)
				if wait := f.GetRetryAfter().AsDuration(); wait <= 0 || (wait > time.Second) != late {
					t.Errorf("%s while %s: retry_after = %v", what, state, wait)
				}
				if f.GetOutcomeUnknown() || f.GetTable() != "tasks" {
					t.Errorf("%s while %s = %v", what, state, f)
				}
			}
			s := h.send(h.pid("tasks"), &messages.Cut{RunId: ulid.Make().String()})
			h.settle()
			s.failure("cut", messages.Code_CODE_UNAVAILABLE)
			if _, err := h.g.Table("tasks").Get(h.Context(), []byte("key")); !errors.Is(err, messages.ErrUnavailable) {
				t.Errorf("get while %s = %v", state, err)
			}
		}
		ctx := h.Context()
		if err := h.g.CloseTable(ctx, "tasks"); err != nil {
			t.Fatal(err)
		}
		refused("closed", true)
		open := h.fs.hang(h.T, under(dir+"/tables/tasks", "open", "list", "stat"))
		opening := async(func() (string, error) { return "", h.g.OpenTable(ctx, "tasks") })
		h.settle()
		refused("opening", false)
		open()
		<-opening.done
		h.put("tasks", "key", "value")

		fail := h.fs.fail(under(dir+"/tables/tasks", "open", "list", "stat", "sync"))
		h.send(h.pid("tasks"), put("key", "value"))
		h.settle()
		refused("reopening", false)
		pass(10 * time.Minute)
		refused("quarantined", true)
		fail()
	})
}

// TestOpeningTableAnswers: the owners answer before Start has returned.
func TestOpeningTableAnswers(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		open := h.fs.hang(h.T, under(dir+"/tables/tasks", "create"))
		starting := async(func() (string, error) {
			h.start()
			return "", nil
		})
		h.settle()
		starting.pending(h, "start")
		slow := h.send(h.system.NewLocalPID("gabion/tasks"), put("key", "value"))
		fast := h.send(h.system.NewLocalPID("gabion/other"), put("key", "value"))
		h.settle()
		slow.failure("put", messages.Code_CODE_UNAVAILABLE)
		fast.committed("put")
		open()
		<-starting.done
		h.put("tasks", "key", "value")
	})
}

// TestRequestThatPanicsOwner: a request that no check foresaw is answered INTERNAL, once.
func TestRequestThatPanicsOwner(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		s := h.send(h.pid("tasks"), &messages.Write{Ops: []*messages.Op{{Op: (*messages.Op_Put)(nil)}}})
		behind := h.send(h.pid("tasks"), put("key", "value"))
		h.settle()
		s.failure("write", messages.Code_CODE_INTERNAL)
		behind.committed("put")
	})
}

// TestReplyThatPanics: a sender whose process panics on the answer hurts nobody: the next is answered, and the
// store neither freezes nor reopens.
func TestReplyThatPanics(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		bad := &panickingProcess{}
		pid, _ := h.system.ProcessRegistry.Add(bad, "bad")
		for _, m := range []proto.Message{put("key", "value"), get("key"), &messages.Scan{}, put("", "")} {
			h.system.Root.RequestWithCustomSender(h.pid("tasks"), m, pid)
			h.settle()
		}
		for to, all := range map[*actor.PID][]any{
			h.pid("tasks"):    {"text", nil},
			h.g.Coordinator(): {&messages.HealthMetrics{}, &messages.BackupAll{}, &messages.ListBackups{}, "text", nil},
			h.g.Supervisor():  {&messages.ListTables{}, &messages.OpenTable{Table: "tasks"}, &messages.OpenTable{Table: "nowhere"}, "text", nil},
		} {
			for _, m := range all {
				h.system.Root.RequestWithCustomSender(to, m, pid)
				h.settle()
			}
		}
		if bad.calls != 16 {
			t.Errorf("the process was answered %d times, want 16", bad.calls)
		}
		h.put("tasks", "key", "again")
		if info := h.info("tasks"); info.GetPosition().GetIncarnation() != 1 {
			t.Errorf("the store was reopened: %v", info)
		}
	})
}

type panickingProcess struct{ calls int }

func (p *panickingProcess) SendUserMessage(*actor.PID, any) {
	p.calls++
	panic("a sender that panics")
}
func (p *panickingProcess) SendSystemMessage(*actor.PID, any) {}
func (p *panickingProcess) Stop(*actor.PID)                   {}

// TestHandleOfUnknownTable fails each call, and names what to do.
func TestHandleOfUnknownTable(t *testing.T) {
	h := newHost(t, actors.Config{})
	table := h.g.Table("nowhere")
	_, put := table.Put(h.Context(), []byte("k"), nil)
	_, got := table.Get(h.Context(), []byte("k"))
	_, scan := table.Scan(h.Context(), &messages.Scan{})
	walk := table.Walk(h.Context(), nil, nil)
	for what, err := range map[string]error{"put": put, "get": got, "scan": scan, "walk": walk,
		"close": h.g.CloseTable(context.Background(), "nowhere"), "open": h.g.OpenTable(context.Background(), "nowhere")} {
		if !errors.Is(err, messages.ErrNotFound) || len(messages.Hints(err)) == 0 {
			t.Errorf("%s = %v, want ErrNotFound with a hint", what, err)
		}
	}
	// Its PID answers the same; once there is such a table, its PID has not changed.
	future := h.system.Root.RequestFuture(h.g.PID("nowhere"), &messages.Get{Key: []byte("k")}, time.Minute)
	if reply, err := future.Result(); err != nil || !errors.Is(reply.(error), messages.ErrNotFound) {
		t.Errorf("request to an unknown table: %v, %v", reply, err)
	}
	before := h.g.PID("nowhere")
	if err := h.g.CreateTable(h.Context(), "nowhere", false); err != nil {
		t.Fatal(err)
	}
	if now := h.g.PID("nowhere"); !now.Equal(before) {
		t.Errorf("PID of the table is %v, was %v", now, before)
	}
	future = h.system.Root.RequestFuture(before, &messages.Get{Key: []byte("k")}, time.Minute)
	if reply, err := future.Result(); err != nil || reply.(*messages.Value).GetFound() {
		t.Errorf("request to the new table: %v, %v", reply, err)
	}
}

// TestRequestDuringSpawn: a PID that is known by its name may get a request while the framework still spawns its actor.
func TestRequestDuringSpawn(t *testing.T) {
	stoppedBubble(t, actors.Config{}, func(h *host) {
		var early *sender
		h.config.Spawn = func(props *actor.Props, name string) (*actor.PID, error) {
			props.Configure(actor.WithOnInit(func(c actor.Context) { early = h.send(c.Self(), &messages.ListTables{}) }))
			return h.system.Root.SpawnNamed(props, name)
		}
		h.start()
		h.settle()
		if list, ok := early.one("early request").(*messages.TableList); !ok || len(list.GetTables()) != 1 {
			t.Errorf("early request was answered %v", early.answers())
		}
	})
}
