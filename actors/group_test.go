package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// blockCommitter holds a table's committer, not its owner: what is sent from now on gathers. release lets it take
// what has gathered, and holds the fsyncs of that until syncs is called.
func (h *host) blockCommitter(table string) (release, syncs func()) {
	h.Helper()
	first := h.fs.hang(h.T, walSync(table))
	h.send(h.pid(table), put("first", "x"))
	h.settle()
	// A cut of a table at the position it has already needs no flush, but waits for the Put's fsync.
	h.send(h.pid(table), &messages.Cut{RunId: ulid.Make().String(), Have: h.info(table).GetPosition()})
	h.settle()
	second := h.fs.hang(h.T, walSync(table))
	return first, second
}

// TestGroups: what gathers while the committer is busy is committed in groups of up to a quarter memtable, in order; a
// DeleteRange and a larger write are groups of their own.
func TestGroups(t *testing.T) {
	bubble(t, actors.Config{MemTableBytes: 1_600_000}, func(h *host) {
		// Pebble's first memtables are small, and to rotate one it waits for the fsync. An empty one of full
		// size takes all that follows.
		for range 10 {
			h.put("tasks", "first", string(make([]byte, 300_000)))
		}
		h.backup()
		start := h.put("tasks", "first", "x")
		release, syncs := h.blockCommitter("tasks")
		pid := h.pid("tasks")
		value := string(make([]byte, 39_996)) // 40,000 B with its key
		var all []*sender
		for i := range 12 { // 400,000 B, 80,000 B
			all = append(all, h.send(pid, put(fmt.Sprintf("k%03d", i), value)))
		}
		all = append(all, h.send(pid, &messages.DeleteRange{Start: []byte("k000"), End: []byte("k010")}))
		for i := range 3 { // 120,000 B
			all = append(all, h.send(pid, put(fmt.Sprintf("k%03d", i), value)))
		}
		all = append(all, h.send(pid, put("large", string(make([]byte, 500_000))))) // with no other
		all = append(all, h.send(pid, put("last", "x")))
		h.settle()
		release()
		h.settle()
		want := []actors.GroupInFlight{
			{Requests: 1, Bytes: 500_005},
			{Requests: 10, Bytes: 400_000},
			{Requests: 3, Bytes: 120_000},
			{Requests: 2, Bytes: 80_000},
			{Requests: 1, Bytes: 8, Range: true},
			{Requests: 1, Bytes: 5},
		}
		if got := h.g.GroupsInFlight("tasks"); !slices.Equal(got, want) {
			t.Errorf("groups = %v, want %v", got, want)
		}
		for _, s := range all {
			s.none("write")
		}
		syncs()
		h.settle()
		for i, s := range all {
			if seq := s.committed("write"); seq != start+2+uint64(i) {
				t.Errorf("write %d has seq %d", i, seq)
			}
		}
		if n := h.health("tasks").GetCount(); n != 1+12-10+3+2 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestDenseSeqs: writers that race for the same keys get each seq once, and the last one's value stands.
func TestDenseSeqs(t *testing.T) {
	const writers, each, keys = 8, 150, 3
	h := newHost(t, actors.Config{})
	var mu sync.Mutex
	values := make(map[uint64]string) // by seq
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			table := h.g.Table("tasks")
			for i := range each {
				key, value := fmt.Sprint(i%keys), fmt.Sprintf("%d/%d", w, i)
				seq, err := table.Put(t.Context(), []byte(key), []byte(value))
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				mu.Lock()
				if have, ok := values[seq]; ok {
					t.Errorf("seq %d was given twice: %s and %s", seq, have, value)
				}
				values[seq] = key + "=" + value
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	last := make(map[string]string)
	for seq := uint64(1); seq <= writers*each; seq++ {
		row, ok := values[seq]
		if !ok {
			t.Fatalf("seq %d was given to nobody", seq)
		}
		last[row[:1]] = row[2:]
	}
	for key, value := range last {
		h.wantValue("tasks", key, value)
	}
}

// TestWriteIsAtomicAndInOrder: the ops of one Write are carried out in order, all or none, with one seq each.
func TestWriteIsAtomicAndInOrder(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		table := h.g.Table("tasks")
		seq, err := table.Write(h.Context(), &messages.Write{Ops: []*messages.Op{
			putOp("a", "1"), putOp("b", "1"),
			{Op: &messages.Op_DeleteRange{DeleteRange: &messages.DeleteRange{Start: []byte("a"), End: []byte("c")}}},
			putOp("a", "2"),
		}})
		if err != nil || seq != 4 {
			t.Errorf("write = %d, %v, want seq 4", seq, err)
		}
		equals := messages.IfEquals([]byte("a"), []byte("2"))
		absent := messages.IfAbsent([]byte("a"))
		if _, err := table.Write(h.Context(), &messages.Write{
			Ops: []*messages.Op{putOp("x", "never")}, Conditions: []*messages.Condition{equals, absent}}); !errors.Is(err, messages.ErrConditionFailed) {
			t.Errorf("write = %v", err)
		}
		if seq, err := table.Write(h.Context(), &messages.Write{
			Ops: []*messages.Op{putOp("a", "3")}, Conditions: []*messages.Condition{equals}}); err != nil || seq != 5 {
			t.Errorf("write = %d, %v, want seq 5: a refused one has none", seq, err)
		}
		for key, value := range map[string]string{"a": "3", "b": "", "x": ""} {
			h.wantValue("tasks", key, value)
		}
	})
}

// TestPreviousValues: an operation that asks for it is answered what its key held just before, as of its place in the order,
// also within one Write and one group.
func TestPreviousValues(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "stored", "0")
		swap := func(key, value string) *messages.Put {
			return &messages.Put{Key: []byte(key), Value: []byte(value), WantPrevious: true}
		}
		take := func(key string) *messages.Delete { return &messages.Delete{Key: []byte(key), WantPrevious: true} }
		release, syncs := h.blockCommitter("tasks")
		pid := h.pid("tasks")
		all := map[*sender]string{
			h.send(pid, swap("stored", "1")): "[0]",
			h.send(pid, swap("absent", "")):  "[-]",
			h.send(pid, put("stored", "2")):  "[]",
			h.send(pid, take("stored")):      "[2]",
			h.send(pid, take("stored")):      "[-]",
			h.send(pid, &messages.Write{Ops: []*messages.Op{
				{Op: &messages.Op_Put{Put: swap("a", "1")}},
				putOp("a", "2"),
				{Op: &messages.Op_Put{Put: swap("a", "3")}},
				{Op: &messages.Op_DeleteRange{DeleteRange: &messages.DeleteRange{Start: []byte("a"), End: []byte("b")}}},
				{Op: &messages.Op_Delete{Delete: take("a")}},
			}}): "[- 2 -]",
			h.send(pid, take("absent")): "[-]", // the range took it
		}
		release()
		syncs()
		h.settle()
		for s, want := range all {
			c, ok := s.one("write").(*messages.Committed)
			if !ok {
				t.Errorf("write was answered %v", s.answers())
				continue
			}
			var got []string
			for _, p := range c.GetPrevious() {
				if p.GetFound() {
					got = append(got, string(p.GetValue()))
				} else {
					got = append(got, "-")
				}
			}
			if fmt.Sprint(got) != want {
				t.Errorf("previous = %v, want %v", got, want)
			}
		}
		table := h.g.Table("tasks")
		for _, want := range []string{"", "x"} {
			if got, found, err := table.Swap(h.Context(), []byte("k"), []byte("x")); err != nil || string(got) != want || found != (want != "") {
				t.Errorf("swap = %q, %v, %v, want %q", got, found, err, want)
			}
		}
		for _, want := range []string{"x", ""} {
			if got, found, err := table.Take(h.Context(), []byte("k")); err != nil || string(got) != want || found != (want != "") {
				t.Errorf("take = %q, %v, %v, want %q", got, found, err, want)
			}
		}
	})
}

// TestExpiredRequests: a request whose deadline passed before its commit is dropped and told so; others of its group are
// carried out.
func TestExpiredRequests(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		release, syncs := h.blockCommitter("tasks")
		at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(d)) }
		pid, soon, late := h.pid("tasks"), at(time.Second), at(time.Minute)
		ops := []*messages.Op{putOp("w", "x")}
		expired := []*sender{
			h.send(pid, &messages.Put{Key: []byte("p"), Value: []byte("x"), Deadline: soon}),
			h.send(pid, &messages.Delete{Key: []byte("kept"), Deadline: soon}),
			h.send(pid, &messages.DeleteRange{Start: []byte("a"), End: []byte("z"), Deadline: soon}),
			h.send(pid, &messages.Write{Ops: ops, Deadline: soon}),
			h.send(pid, &messages.Get{Key: []byte("kept"), Deadline: soon}),
			h.send(pid, &messages.Scan{Deadline: soon}),
		}
		kept := h.send(pid, &messages.Put{Key: []byte("kept"), Value: []byte("x"), Deadline: late})
		read := h.send(pid, &messages.Get{Key: []byte("kept"), Deadline: late})
		h.settle()
		pass(2 * time.Second)
		release()
		syncs()
		h.settle()
		for _, s := range expired {
			f := s.one("expired request")
			if failure, ok := f.(*messages.Failure); !ok || failure.GetCode() != messages.Code_CODE_DEADLINE_EXCEEDED || failure.GetOutcomeUnknown() {
				t.Errorf("expired request was answered %v", f)
			}
		}
		if seq := kept.committed("put"); seq != 2 {
			t.Errorf("seq = %d, want 2: the expired have none", seq)
		}
		if v, ok := read.one("get").(*messages.Value); !ok || string(v.GetValue()) != "x" {
			t.Errorf("get = %v", read.answers())
		}
		if n := h.health("tasks").GetCount(); n != 2 {
			t.Errorf("%d rows, want 2", n)
		}
		// A deadline that has passed when the request comes.
		dead := h.send(pid, &messages.Put{Key: []byte("dead"), Deadline: soon})
		deadRead := h.send(pid, &messages.Get{Key: []byte("kept"), Deadline: soon})
		h.settle()
		dead.failure("put", messages.Code_CODE_DEADLINE_EXCEEDED)
		deadRead.one("get")
	})
}

// TestAnswersOfAGroupKeepTheirOrder: those of one sender come in the order of its requests, a page behind what was committed
// before it, however much else the group has.
func TestAnswersOfAGroupKeepTheirOrder(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		release, syncs := h.blockCommitter("tasks")
		s, others := h.sender(), h.sender()
		for _, m := range []any{put("key", "value"), &messages.Scan{Start: []byte("key"), Limit: 1}} {
			h.system.Root.RequestWithCustomSender(h.pid("tasks"), m, s.pid)
		}
		for i := range 10_000 { // a reader has the page long before the group's last answer
			h.system.Root.RequestWithCustomSender(h.pid("tasks"), put(fmt.Sprint(i), "v"), others.pid)
		}
		h.settle()
		release()
		h.settle()
		syncs()
		h.settle()
		got := s.answers()
		if len(got) != 2 || len(others.answers()) != 10_000 {
			t.Fatalf("%d and %d answers", len(got), len(others.answers()))
		}
		if _, ok := got[0].(*messages.Committed); !ok {
			t.Errorf("a page came before the put that it follows: %v", got)
		}
	})
}
