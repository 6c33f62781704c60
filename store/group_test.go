package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// step is one operation of a group, on keys and values written as text.
type step func(*Group) error

func putStep(key, value string) step {
	return func(g *Group) error { return g.Put([]byte(key), []byte(value)) }
}
func deleteStep(key string) step { return func(g *Group) error { return g.Delete([]byte(key)) } }
func rangeStep(start, end string) step {
	return func(g *Group) error { return g.DeleteRange([]byte(start), []byte(end), nil) }
}

func TestGroupKeepsTheOrderOfItsOperations(t *testing.T) {
	for name, c := range map[string]struct {
		steps []step
		want  string // over the rows a=1 b=2 c=3
	}{
		"put, range, put of one key": {[]step{putStep("b", "x"), rangeStep("a", "c"), putStep("b", "y")}, "map[b:y c:3]"},
		"put, range":                 {[]step{putStep("aa", "x"), rangeStep("a", "b")}, "map[b:2 c:3]"},
		"range, put, range":          {[]step{rangeStep("a", "c"), putStep("a", "x"), rangeStep("a", "b")}, "map[c:3]"},
		"overlapping ranges":         {[]step{rangeStep("a", "c"), rangeStep("b", "d")}, "map[]"},
		"a range twice":              {[]step{rangeStep("a", "c"), rangeStep("a", "c")}, "map[c:3]"},
		"overlapping, put between":   {[]step{rangeStep("a", "c"), putStep("b", "x"), rangeStep("b", "d")}, "map[]"},
		"nested ranges, put between": {[]step{rangeStep("b", "c"), putStep("b", "x"), rangeStep("a", "z")}, "map[]"},
		"put twice":                  {[]step{putStep("a", "x"), putStep("a", "yy")}, "map[a:yy b:2 c:3]"},
		"put, delete":                {[]step{putStep("d", "x"), deleteStep("d")}, "map[a:1 b:2 c:3]"},
		"delete, put":                {[]step{deleteStep("a"), putStep("a", "x")}, "map[a:x b:2 c:3]"},
		"delete, range":              {[]step{deleteStep("a"), rangeStep("a", "b")}, "map[b:2 c:3]"},
		"delete of nothing":          {[]step{deleteStep("zz"), deleteStep("zz")}, "map[a:1 b:2 c:3]"},
		"range of nothing":           {[]step{rangeStep("x", "z")}, "map[a:1 b:2 c:3]"},
		"the end is exclusive":       {[]step{rangeStep("a", "b")}, "map[b:2 c:3]"},
		"empty value":                {[]step{putStep("a", "")}, "map[a: b:2 c:3]"},
	} {
		t.Run(name, func(t *testing.T) {
			d := openDirectory(t, vfs.NewMem())
			s := openTable(t, d)
			for i, key := range []string{"a", "b", "c"} {
				mustPut(t, s, key, fmt.Sprint(i+1))
			}
			seq := s.Acked()
			err := commit(s, func(g *Group) error {
				for i, step := range c.steps {
					if err := step(g); err != nil {
						return err
					}
					if want := seq + uint64(i) + 1; g.Seq() != want || g.Empty() {
						t.Errorf("seq %d after operation %d, want %d", g.Seq(), i, want)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			got := rows(t, s)
			if fmt.Sprint(got) != c.want {
				t.Errorf("rows %v, want %v", got, c.want)
			}
			checkRecord(t, s.Record(), got)
			if s.Acked() != seq+uint64(len(c.steps)) {
				t.Errorf("acked %d, want %d", s.Acked(), seq+uint64(len(c.steps)))
			}
			closeAll(t, s, d)
		})
	}
}

func TestAbandonedGroupChangesNothing(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	before := s.Record()
	for _, steps := range [][]step{nil, {putStep("b", "2"), rangeStep("a", "c"), deleteStep("a")}} {
		g, err := s.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if !g.Empty() || g.Seq() != 1 {
			t.Errorf("a new group: empty %v, seq %d", g.Empty(), g.Seq())
		}
		for _, step := range steps {
			if err := step(g); err != nil {
				t.Fatal(err)
			}
		}
		g.Abandon()
		if s.Record() != before || fmt.Sprint(rows(t, s)) != "map[a:1]" {
			t.Errorf("record %v, rows %v", s.Record(), rows(t, s))
		}
	}
	mustPut(t, s, "b", "2")
	if s.Acked() != 2 {
		t.Errorf("acked %d, want 2", s.Acked())
	}
	closeAll(t, s, d)
}

func absent(key string) *messages.Condition {
	return messages.IfAbsent([]byte(key))
}

func equals(key, value string) *messages.Condition {
	return messages.IfEquals([]byte(key), []byte(value))
}

func TestConditionsAreJudgedInTheirPlace(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	mustPut(t, s, "a", "1")
	mustPut(t, s, "empty", "")
	for name, c := range map[string]struct {
		steps      []step
		conditions []*messages.Condition
		refused    string // part of the text; empty when they hold
	}{
		"absent holds":             {nil, []*messages.Condition{absent("b")}, ""},
		"absent fails":             {nil, []*messages.Condition{absent("a")}, `condition 0: key "a" is present`},
		"equals holds":             {nil, []*messages.Condition{equals("a", "1")}, ""},
		"equals another":           {nil, []*messages.Condition{equals("a", "2")}, "another value"},
		"equals of nothing":        {nil, []*messages.Condition{equals("b", "")}, "is absent"},
		"empty is not absent":      {nil, []*messages.Condition{absent("empty")}, "is present"},
		"empty equals empty":       {nil, []*messages.Condition{equals("empty", "")}, ""},
		"the second fails":         {nil, []*messages.Condition{absent("b"), absent("a")}, "condition 1:"},
		"all hold":                 {nil, []*messages.Condition{absent("b"), equals("a", "1")}, ""},
		"put before in the group":  {[]step{putStep("b", "2")}, []*messages.Condition{absent("b")}, "is present"},
		"and its value":            {[]step{putStep("b", "2")}, []*messages.Condition{equals("b", "2")}, ""},
		"removed before":           {[]step{deleteStep("a")}, []*messages.Condition{absent("a")}, ""},
		"range before":             {[]step{rangeStep("a", "b")}, []*messages.Condition{absent("a")}, ""},
		"range and put before":     {[]step{rangeStep("a", "b"), putStep("a", "9")}, []*messages.Condition{equals("a", "9")}, ""},
		"no condition always hold": {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := s.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer g.Abandon()
			for _, step := range c.steps {
				if err := step(g); err != nil {
					t.Fatal(err)
				}
			}
			seq := g.Seq()
			failure, err := g.Refuses(c.conditions)
			if err != nil {
				t.Fatal(err)
			}
			if g.Seq() != seq {
				t.Errorf("judging raised seq from %d to %d", seq, g.Seq())
			}
			if c.refused == "" {
				if failure != nil {
					t.Errorf("refused: %v", failure)
				}
				return
			}
			if failure == nil {
				t.Fatal("not refused")
			}
			if !errors.Is(failure, messages.ErrConditionFailed) || !strings.Contains(failure.GetMessage(), c.refused) {
				t.Errorf("refused by %v, want %q", failure, c.refused)
			}
			checkHint(t, failure)
		})
	}
	closeAll(t, s, d)
}

func TestDeleteRangeTellsProgress(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d)
	const n = 300
	err := commit(s, func(g *Group) error {
		for i := range n {
			if err := g.Put(fmt.Appendf(nil, "%04d", i), bytes.Repeat([]byte("v"), 100)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	err = commit(s, func(g *Group) error {
		return g.DeleteRange([]byte("0"), []byte("1"), func() { calls++ })
	})
	if err != nil || len(rows(t, s)) != 0 {
		t.Fatalf("%v, %d rows left", err, len(rows(t, s)))
	}
	if calls < 10 { // 30 KB are more than ten blocks of 4 KiB at least twice over
		t.Errorf("progress told %d times while %d rows were read", calls, n)
	}
	closeAll(t, s, d)
}

// A batch of more than half a memtable takes another way through Pebble.
func TestLargeGroups(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := openDirectory(t, mem)
	s := openTable(t, d)
	want := map[string]string{}
	for group := range 5 {
		err := commit(s, func(g *Group) error {
			for i := range 100 {
				key, value := fmt.Sprintf("%d-%d", group, i%60), strings.Repeat("v", 1000+i)
				want[key] = value
				if err := g.Put([]byte(key), []byte(value)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		checkRecord(t, s.Record(), want)
	}
	image := crash(mem, 0, nil)
	closeAll(t, s, d)
	d = openDirectory(t, image)
	s = openTable(t, d)
	if s.Acked() != 500 {
		t.Errorf("acked %d after a crash, want 500", s.Acked())
	}
	checkRecord(t, s.Record(), rows(t, s))
	checkRecord(t, s.Record(), want)
	closeAll(t, s, d)
}

// What a Wait has confirmed is there after any crash; what it has not may be, but only as a prefix.
func TestAcknowledgedGroupsSurviveACrashAnywhere(t *testing.T) {
	rng := random(t)
	for range 5 {
		mem := vfs.NewCrashableMem()
		d := openDirectory(t, mem)
		s := openTable(t, d)
		var waiting []*Commit
		type image struct {
			disk  *vfs.MemFS
			acked uint64
		}
		var images []image
		for i := range 60 {
			g, err := s.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Put(fmt.Appendf(nil, "%03d", i), bytes.Repeat([]byte("v"), rng.IntN(3000))); err != nil {
				t.Fatal(err)
			}
			c, err := s.Apply(g)
			if err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, c)
			for len(waiting) > 0 && rng.IntN(3) > 0 {
				if err := waiting[0].Wait(); err != nil {
					t.Fatal(err)
				}
				waiting = waiting[1:]
			}
			acked := s.Acked()
			images = append(images, image{crash(mem, rng.IntN(101), rng), acked})
		}
		for _, c := range waiting {
			if err := c.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		closeAll(t, s, d)
		for i, image := range images {
			d := openDirectory(t, image.disk)
			s, err := d.Open("t", OpenOptions{})
			if err != nil {
				t.Fatalf("crash %d: %v", i, err)
			}
			got := rows(t, s)
			seq := s.Record().GetPosition().GetSeq()
			if seq < image.acked || int(seq) != len(got) || s.Acked() != seq {
				t.Fatalf("crash %d: %d acknowledged, seq %d, acked %d, %d rows", i, image.acked, seq, s.Acked(), len(got))
			}
			for n := range seq {
				if _, ok := got[fmt.Sprintf("%03d", n)]; !ok {
					t.Fatalf("crash %d: seq %d, but its row %d is missing", i, seq, n)
				}
			}
			checkRecord(t, s.Record(), got)
			closeAll(t, s, d)
		}
	}
}
