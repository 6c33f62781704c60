package ops

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// deadlines are those of the requests that owners received, by kind.
type deadlines struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

func (d *deadlines) middleware(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		if m, ok := envelope.Message.(interface{ GetDeadline() *timestamppb.Timestamp }); ok && m.GetDeadline() != nil {
			d.mu.Lock()
			d.seen[fmt.Sprintf("%T", m)] = m.GetDeadline().AsTime()
			d.mu.Unlock()
		}
		next(c, envelope)
	}
}

// taken returns what was seen, and forgets it.
func (d *deadlines) taken() map[string]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := maps.Clone(d.seen)
	clear(d.seen)
	return seen
}

// The deadline of a client's context comes to the owner, and so does the one in the request where it is sooner.
func TestDeadlineCrossesTheWire(t *testing.T) {
	d := &deadlines{seen: make(map[string]time.Time)}
	h := startHost(t, actors.Config{Dir: filepath.Join(t.TempDir(), "d"), Tables: []string{"fruit"}, DisableSchedule: true, DisableDrill: true,
		Middleware: []actor.ReceiverMiddleware{d.middleware}}).listen(t, bounds{})
	c := dial(t, h.dir)
	table, key := c.Table("fruit"), []byte("k")
	inAnHour, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, put := table.Put(inAnHour, key, nil)
	_, deleted := table.Delete(inAnHour, key)
	_, ranged := table.DeleteRange(inAnHour, key, []byte("l"))
	_, wrote := table.Write(inAnHour, &messages.Write{Ops: []*messages.Op{messages.PutOp(key, nil)}})
	_, scanned := table.Scan(inAnHour, &messages.Scan{})
	check := func(want time.Time, errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		seen := d.taken()
		for _, m := range []any{&messages.Put{}, &messages.Delete{}, &messages.DeleteRange{}, &messages.Write{}, &messages.Scan{}} {
			// It travels as a number of milliseconds, counted anew where it arrives.
			if at := seen[fmt.Sprintf("%T", m)]; at.Sub(want).Abs() > time.Minute {
				t.Errorf("deadline of %T is %v, want %v", m, at, want)
			}
		}
	}
	at, _ := inAnHour.Deadline()
	check(at, put, deleted, ranged, wrote, scanned)

	at = time.Now().Add(30 * time.Minute)
	sooner := timestamppb.New(at)
	_, put = c.service.Put(inAnHour, &messages.PutRequest{Table: "fruit", Put: &messages.Put{Key: key, Deadline: sooner}})
	_, deleted = c.service.Delete(inAnHour, &messages.DeleteRequest{Table: "fruit", Delete: &messages.Delete{Key: key, Deadline: sooner}})
	_, ranged = c.service.DeleteRange(inAnHour, &messages.DeleteRangeRequest{Table: "fruit",
		DeleteRange: &messages.DeleteRange{Start: key, End: []byte("l"), Deadline: sooner}})
	_, wrote = c.service.Write(inAnHour, &messages.WriteRequest{Table: "fruit",
		Write: &messages.Write{Ops: []*messages.Op{messages.PutOp(key, nil)}, Deadline: sooner}})
	_, scanned = c.service.Scan(inAnHour, &messages.ScanRequest{Table: "fruit", Scan: &messages.Scan{Deadline: sooner}})
	check(at, put, deleted, ranged, wrote, scanned)
}

// A request whose deadline has passed is refused, whichever way it is told, and writes nothing.
func TestDeadlineHasPassed(t *testing.T) {
	h, c := serving(t)
	past := timestamppb.New(time.Now().Add(-time.Second))
	_, put := c.service.Put(t.Context(), &messages.PutRequest{Table: "fruit", Put: &messages.Put{Key: []byte("k"), Deadline: past}})
	_, get := c.service.Get(t.Context(), &messages.GetRequest{Table: "fruit", Get: &messages.Get{Key: []byte("k"), Deadline: past}})
	for what, err := range map[string]error{"put": put, "get": get} {
		if failure := messages.FailureOf(fromConnect(t.Context(), err, false)); failure.GetCode() != messages.Code_CODE_DEADLINE_EXCEEDED {
			t.Errorf("%s: %v", what, err)
		}
	}
	infos, err := h.ListTables(t.Context())
	if err != nil || infos[0].GetPosition().GetSeq() != 0 {
		t.Errorf("tables are %v, %v", infos, err)
	}
}
