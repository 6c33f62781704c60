package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

func TestContentSame(t *testing.T) {
	record := func(change func(r *messages.TableRecord)) *messages.TableRecord {
		r := &messages.TableRecord{Table: "t", Position: &messages.Position{Lineage: "L", Incarnation: 2, Seq: 9},
			Accounting: messages.Accounting_ACCOUNTING_EXACT, Count: 3, LiveBytes: 30, Fingerprint: 300, Committed: 77}
		if change != nil {
			change(r)
		}
		return r
	}
	atCut := func(r *messages.TableRecord) { r.Accounting = messages.Accounting_ACCOUNTING_AT_CUT }
	for _, c := range []struct {
		what          string
		a, b          Content
		same, follows bool
	}{
		{"equal", Content{record(nil), ""}, Content{record(nil), ""}, true, true},
		{"nothing", Content{}, Content{}, false, true},
		{"nothing known of the other", Content{record(nil), ""}, Content{}, false, false},
		{"further", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { r.Position.Seq++ }), ""}, false, true},
		{"behind", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { r.Position.Seq-- }), ""}, false, false},
		{"an earlier open", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { r.Position.Incarnation-- }), ""}, false, false},
		{"further, with other rows", Content{record(nil), ""},
			Content{record(func(r *messages.TableRecord) { r.Position.Seq++; r.Count++; r.Committed++ }), ""}, false, true},
		{"further, of another lineage", Content{record(nil), ""},
			Content{record(func(r *messages.TableRecord) { r.Position.Seq++; r.Position.Lineage = "M" }), ""}, false, false},
		{"another table", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { r.Table = "u" }), ""}, false, true},
		{"other rows", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { r.Fingerprint++ }), ""}, false, false},
		{"another count", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { r.Count++ }), ""}, false, false},
		{"another time", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { r.Committed++ }), ""}, false, false},
		{"at cut by now", Content{record(nil), ""}, Content{record(atCut), "a"}, false, true},
		{"at cut by now, other sums", Content{record(nil), ""}, Content{record(func(r *messages.TableRecord) { atCut(r); r.Count++ }), "a"}, false, true},
		{"at cut, the same sstables", Content{record(atCut), "a"}, Content{record(atCut), "a"}, true, true},
		{"at cut, other sums", Content{record(atCut), "a"}, Content{record(func(r *messages.TableRecord) { atCut(r); r.Count++ }), "a"}, true, true},
		{"at cut, merged sstables", Content{record(atCut), "a"}, Content{record(atCut), "b"}, false, true},
		{"at cut, unknown sstables", Content{record(atCut), ""}, Content{record(atCut), ""}, false, true},
		{"at cut, another time", Content{record(atCut), "a"}, Content{record(func(r *messages.TableRecord) { atCut(r); r.Committed++ }), "a"}, false, false},
	} {
		if same := c.a.Same(c.b); same != c.same {
			t.Errorf("%s: same is %v", c.what, same)
		}
		if follows := c.b.Follows(c.a); follows != c.follows {
			t.Errorf("%s: follows is %v", c.what, follows)
		}
	}
}

// TestContentAtCut: the hash of the list of sstables stays the same over a close; it is another one with another row.
func TestContentAtCut(t *testing.T) {
	d := openDirectory(t, vfs.NewMem())
	s := openTable(t, d, keeping(atCut))
	content := func() Content {
		t.Helper()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		// What Pebble merges in the background changes the list, and holds the same rows.
		if err := s.db.Compact(t.Context(), []byte{0}, userEnd, true); err != nil {
			t.Fatal(err)
		}
		c, err := s.Content()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	fill(t, s, 500, 20)
	first := content()
	if first.SSTables == "" {
		t.Fatal("no hash")
	}
	if s.Estimate(sumsOf(s.Record())) {
		t.Error("the record's own sums are news")
	}
	closeAll(t, s)
	s = openTable(t, d, keeping(atCut))
	if again := content(); !again.Same(first) {
		t.Errorf("unchanged over a close: %v, then %v", first, again)
	}
	if err := commit(s, putStep("000001", "other")); err != nil {
		t.Fatal(err)
	}
	if changed := content(); changed.SSTables == first.SSTables {
		t.Error("another row, the same hash")
	}
	closeAll(t, s, d)
}
