package actors_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestTableStats count the groups that became durable, what is in them, and the states that a table came into.
func TestTableStats(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}}, func(h *host) {
		w := &messages.Write{}
		for _, key := range []string{"x", "y", "z"} {
			w.Ops = append(w.Ops, messages.PutOp([]byte(key), []byte("v")))
		}
		if _, err := h.g.Table("a").Write(h.Context(), w); err != nil {
			t.Fatal(err)
		}
		release := h.fs.hang(h.T, under(dir+"/tables/a", "sync"))
		go func() {
			pass(300 * time.Millisecond)
			release()
		}()
		h.put("a", "slow", "v")
		if _, err := h.g.Table("a").Get(h.Context(), []byte("x")); err != nil { // no commit
			t.Fatal(err)
		}
		// Neither a write that is refused nor one that is never durable is a commit.
		refused := &messages.Write{Ops: w.GetOps(), Conditions: []*messages.Condition{messages.IfAbsent([]byte("x"))}}
		if _, err := h.g.Table("a").Write(h.Context(), refused); !errors.Is(err, messages.ErrConditionFailed) {
			t.Errorf("refused: %v", err)
		}
		heal := h.fs.on(under(dir+"/tables/b", "sync"), func(fileOp) error { return errInjected })
		if _, err := h.g.Table("b").Put(h.Context(), []byte("k"), []byte("v")); err == nil {
			t.Error("a write that is not durable was acknowledged")
		}
		heal()
		pass(time.Minute) // until it is open again
		if err := h.g.CloseTable(h.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		stats := h.g.TableStats()
		if len(stats) != 2 || stats[0].Table != "a" || stats[1].Table != "b" {
			t.Fatalf("stats %v", stats)
		}
		a, b := stats[0], stats[1]
		if g := a.GroupOperations; g.Count != 2 || g.Sum != 4 || g.Counts[0] != 1 || g.Counts[2] != 2 {
			t.Errorf("groups %v", g)
		}
		// One took no time in the bubble, the other 300 ms.
		if c := a.CommitSeconds; c.Count != 2 || c.Sum < .3 || c.Sum > .4 || c.Counts[0] != 1 || at(c, .25) != 1 || at(c, .5) != 2 {
			t.Errorf("commits %v", c)
		}
		if b.CommitSeconds.Count != 0 || b.Became[closed] != 1 || b.Became[open] != 2 || b.Became[messages.TableState_TABLE_STATE_REOPENING] != 1 || a.Became[closed] != 0 {
			t.Errorf("of b: %v", b)
		}
		if n := len(b.Became); n != len(messages.TableState_name)-1 {
			t.Errorf("%d states", n)
		}
	})
}

// at is how many values are up to a bound.
func at(h actors.Histogram, bound float64) uint64 {
	for i, b := range h.Bounds {
		if b == bound {
			return h.Counts[i]
		}
	}
	return 0
}
