package store

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/gabiondb/gabion/messages"
)

// Keys are few and short, so that operations meet, and hold the bytes at which bounds and prefixes break.
var (
	anyKey   = rapid.Map(rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 'a', 'b', 0xff}), 1, 3, -1), latin1)
	anyBound = rapid.Map(rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 'a', 'b', 0xff}), 0, 3, -1), latin1)
	anyValue = rapid.StringN(0, 40, -1)
)

// latin1 makes each rune below 256 one byte.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// model is a store beside the map that says what must be in it.
type model struct {
	disk *vfs.MemFS
	dir  *Directory
	s    *Store
	rows map[string]string
	seq  uint64
	// opens counts the opens that committed a group; fresh is set until this one has.
	opens uint64
	fresh bool

	// mode is how the table was opened last, atCut whether its record is at_cut, with the sums of the last scan in known.
	mode  messages.Accounting
	atCut bool
	known Sums
	// recounted and scanned are what the next record must tell of.
	recounted bool
	scanned   *Sums
	cuts      int
}

func (m *model) open(t *rapid.T) {
	var err error
	m.dir, err = OpenDirectory(DirectoryOptions{FS: m.disk, Path: testDir, CacheBytes: 1 << 20, MemTableBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	m.mode = messages.Accounting(rapid.IntRange(0, 2).Draw(t, "accounting"))
	if m.s, err = m.dir.Open("t", OpenOptions{Create: true, Accounting: m.mode}); err != nil {
		t.Fatal(err)
	}
	m.fresh, m.recounted, m.scanned = true, false, nil
}

func (m *model) close(t *rapid.T) {
	for _, err := range []error{m.s.Close(), m.dir.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// group runs one group of random writes, some of them with conditions.
func (m *model) group(t *rapid.T) {
	g, err := m.s.Begin()
	if err != nil {
		t.Fatal(err)
	}
	next := maps.Clone(m.rows)
	seq := m.seq
	var ahead [][]byte
	for _, key := range rapid.SliceOfN(anyKey, 0, 40).Draw(t, "ahead") {
		ahead = append(ahead, []byte(key))
	}
	if err := g.ReadAhead(ahead, nil); err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(0, 8).Draw(t, "writes") {
		if rapid.IntRange(0, 2).Draw(t, "conditional") == 0 && m.refused(t, g, next) {
			continue
		}
		m.operate(t, g, next, ahead)
		seq++
		if g.Seq() != seq {
			t.Fatalf("group is at seq %d, want %d", g.Seq(), seq)
		}
		for range 3 {
			checkGroupGet(t, g, next, anyKey.Draw(t, "read"))
		}
	}
	if g.Empty() || rapid.IntRange(0, 9).Draw(t, "abandon") == 0 {
		if g.Empty() != (seq == m.seq && !m.owes()) {
			t.Fatalf("empty %v after %d operations, owing %v", g.Empty(), seq-m.seq, m.owes())
		}
		g.Abandon()
		return
	}
	c, err := m.s.Apply(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	m.settle(next)
	moved := seq > m.seq
	m.rows, m.seq = next, seq
	if m.fresh && moved {
		m.opens, m.fresh = m.opens+1, false
	}
}

func (m *model) operate(t *rapid.T, g *Group, next map[string]string, ahead [][]byte) {
	key := anyKey.Draw(t, "key")
	if len(ahead) > 0 && rapid.Bool().Draw(t, "read ahead") {
		i := rapid.IntRange(0, len(ahead)-1).Draw(t, "which")
		key = string(ahead[i])
		g.Ahead(i)
	}
	var err error
	switch rapid.IntRange(0, 4).Draw(t, "operation") {
	case 0, 1:
		value := anyValue.Draw(t, "value")
		err = g.Put([]byte(key), []byte(value))
		next[key] = value
	case 2:
		err = g.Delete([]byte(key))
		delete(next, key)
	default:
		end := anyKey.Draw(t, "end")
		if end < key {
			key, end = end, key
		} else if end == key {
			end += "\x00"
		}
		err = g.DeleteRange([]byte(key), []byte(end), nil)
		maps.DeleteFunc(next, func(k, _ string) bool { return key <= k && k < end })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refused judges a random condition and checks the judgement.
func (m *model) refused(t *rapid.T, g *Group, next map[string]string) bool {
	key := anyKey.Draw(t, "condition")
	value, found := next[key]
	condition, holds := absent(key), !found
	if rapid.Bool().Draw(t, "equals") {
		want := value
		if rapid.Bool().Draw(t, "wrong") {
			want = anyValue.Draw(t, "wanted")
		}
		condition, holds = equals(key, want), found && value == want
	}
	failure, err := g.Refuses([]*messages.Condition{condition})
	if err != nil {
		t.Fatal(err)
	}
	if (failure == nil) != holds {
		t.Fatalf("condition %v over %q, %v: judged %v", condition, value, found, failure)
	}
	return failure != nil
}

func checkGroupGet(t *rapid.T, g *Group, next map[string]string, key string) {
	value, found, err := g.Get([]byte(key))
	want, there := next[key]
	if err != nil || found != there || string(value) != want {
		t.Fatalf("Get(%q) in the group = %q, %v, %v, want %q, %v", key, value, found, err, want, there)
	}
}

// check compares everything the store says with the map.
func (m *model) check(t *rapid.T) {
	r := m.s.Record()
	m.checkSums(t)
	if p := r.GetPosition(); p.GetSeq() != m.seq || p.GetIncarnation() != m.opens || m.s.Acked() != m.seq {
		t.Fatalf("position %v, acked %d, want seq %d of incarnation %d", p, m.s.Acked(), m.seq, m.opens)
	}
	n, err := m.s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	checkScan(t, n, m.rows, &messages.Scan{Limit: 7})
	for range 2 {
		checkScan(t, n, m.rows, &messages.Scan{
			Start:   []byte(anyBound.Draw(t, "start")),
			End:     []byte(anyBound.Draw(t, "end")),
			Prefix:  []byte(anyBound.Draw(t, "prefix")),
			Limit:   rapid.Uint32Range(0, 5).Draw(t, "limit"),
			Reverse: rapid.Bool().Draw(t, "reverse"),
		})
	}
	key := anyKey.Draw(t, "get")
	value, found, err := m.s.Get([]byte(key))
	if want, there := m.rows[key]; err != nil || found != there || string(value) != want {
		t.Fatalf("Get(%q) = %q, %v, %v, want %q, %v", key, value, found, err, want, there)
	}
}

// checkScan pages through scan and compares with what the map holds of it.
func checkScan(t *rapid.T, n *Snapshot, rows map[string]string, scan *messages.Scan) {
	var want []string
	for k := range rows {
		if k >= string(scan.GetStart()) && (len(scan.GetEnd()) == 0 || k < string(scan.GetEnd())) &&
			strings.HasPrefix(k, string(scan.GetPrefix())) {
			want = append(want, k)
		}
	}
	slices.Sort(want)
	if scan.GetReverse() {
		slices.Reverse(want)
	}
	var got []string
	for ask := proto.CloneOf(scan); ; {
		page, err := n.Page(ask)
		if err != nil {
			t.Fatal(err)
		}
		if limit := int(scan.GetLimit()); limit > 0 && len(page.GetEntries()) > limit {
			t.Fatalf("page of %d entries, limit is %d", len(page.GetEntries()), limit)
		}
		for _, e := range page.GetEntries() {
			got = append(got, string(e.GetKey()))
			if string(e.GetValue()) != rows[string(e.GetKey())] {
				t.Fatalf("%v: %q = %q, want %q", scan, e.GetKey(), e.GetValue(), rows[string(e.GetKey())])
			}
		}
		if len(page.GetNext()) == 0 {
			break
		}
		if len(page.GetEntries()) == 0 || len(got) >= len(want) {
			t.Fatalf("%v: a page of %d entries says that more follow; read %q of %q", scan, len(page.GetEntries()), got, want)
		}
		if ask.GetReverse() {
			ask.End = bytes.Clone(page.GetNext())
		} else {
			ask.Start = bytes.Clone(page.GetNext())
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%v: keys %q, want %q", scan, got, want)
	}
}

func TestStoreIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{disk: vfs.NewCrashableMem(), rows: map[string]string{}}
		m.open(t)
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			m.group(t)
			switch rapid.IntRange(0, 9).Draw(t, "then") {
			case 0:
				if err := m.s.Flush(); err != nil {
					t.Fatal(err)
				}
			case 1, 2:
				m.close(t)
				m.open(t)
			case 3, 4:
				m.recount(t)
			case 5, 6:
				m.cut(t)
			case 7:
				crashed := crash(m.disk, 0, nil)
				m.close(t)
				m.disk = crashed
				m.open(t)
			}
			m.check(t)
		}
		m.close(t)
	})
}
