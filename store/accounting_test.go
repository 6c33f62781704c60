package store

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/gabiondb/gabion/messages"
)

const (
	exact = messages.Accounting_ACCOUNTING_EXACT
	atCut = messages.Accounting_ACCOUNTING_AT_CUT
)

func keeping(mode messages.Accounting) func(*OpenOptions) {
	return func(o *OpenOptions) { o.Accounting = mode }
}

func sumsOfRows(rows map[string]string) Sums {
	count, liveBytes, fingerprint := account(rows)
	return Sums{Count: count, LiveBytes: liveBytes, Fingerprint: fingerprint}
}

// owes tells whether a group without operations has a record to write.
func (m *model) owes() bool {
	return m.atCut && (m.scanned != nil || m.recounted && m.mode != atCut)
}

// settle does to the model what a group, after which the table holds next, does to the table's record.
func (m *model) settle(next map[string]string) {
	switch {
	case m.mode == atCut && !m.atCut:
		m.atCut, m.known = true, sumsOfRows(m.rows)
	case m.mode != atCut && m.recounted:
		m.atCut = false
	}
	if m.atCut && m.scanned != nil {
		m.known, m.scanned = *m.scanned, nil
	}
}

func (m *model) checkSums(t *rapid.T) {
	r, want := m.s.Record(), m.known
	if !m.atCut {
		want = sumsOfRows(m.rows)
	}
	if isAtCut(r) != m.atCut || sumsOf(r) != want {
		t.Fatalf("record %v, opened with %v: want at_cut %v and %v", r, m.mode, m.atCut, want)
	}
}

// recount counts what the table was opened with, some groups later.
func (m *model) recount(t *rapid.T) {
	if want := m.atCut && m.mode != atCut || m.recounted; m.s.Recounts() != want {
		t.Fatalf("recounts %v, want %v", m.s.Recounts(), want)
	}
	if !m.s.Recounts() || m.recounted {
		return
	}
	if err := m.s.Recount(); err != nil {
		t.Fatal(err)
	}
	m.recounted = true
}

// cut checks a cut and the label that a scan of the instant gives it, and may let the table know what the scan found.
func (m *model) cut(t *rapid.T) {
	m.cuts++
	dir := m.dir.Staging(fmt.Sprint("RUN", m.cuts), "t")
	label, err := m.s.Cut(dir)
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	found, err := n.Sums(1, nil)
	if err := errors.Join(err, n.Close()); err != nil {
		t.Fatal(err)
	}
	if isAtCut(label) {
		found.Label(label)
	}
	_, got := readCut(t, m.disk, dir)
	if !maps.Equal(got, m.rows) {
		t.Fatalf("cut holds %q, want %q", got, m.rows)
	}
	checkRecord(t, label, got)
	if rapid.Bool().Draw(t, "estimate") {
		m.scanned = nil
		if m.s.Estimate(found) {
			m.scanned = &found
		}
	}
}

// readCounter counts the reads of sstables within commit. What Pebble reads in the background after an open, and
// nothing tells when that ends, is no read of a group.
type readCounter struct {
	vfs.FS
	reads atomic.Int64
}

type countedFile struct {
	vfs.File
	fs *readCounter
}

func (c *readCounter) Unwrap() vfs.FS { return c.FS }

func (c *readCounter) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := c.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return countedFile{f, c}, nil
}

func (f countedFile) ReadAt(p []byte, offset int64) (int, error) {
	if withinCommit() {
		f.fs.reads.Add(1)
	}
	return f.File.ReadAt(p, offset)
}

func withinCommit() bool {
	callers := make([]uintptr, 100)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "/store.commit") {
			return true
		}
		if !more {
			return false
		}
	}
}

// Blind writes are what at_cut is for. Each operation is alone in its group, on a cold cache.
func TestGroupsAtCutReadNothing(t *testing.T) {
	fs := &readCounter{FS: vfs.NewMem()}
	for mode, reads := range map[messages.Accounting]bool{atCut: false, exact: true} {
		for what, c := range map[string]struct {
			step  func(*Group) error
			reads bool // in either mode
		}{
			"put":          {putStep("500", "new"), false},
			"delete":       {deleteStep("500"), false},
			"delete range": {rangeStep("3", "4"), false},
			"condition": {func(g *Group) error {
				if failure, err := g.Refuses([]*messages.Condition{equals("500", "wrong")}); failure == nil {
					return fmt.Errorf("not refused: %w", err)
				}
				return g.Put([]byte("1"), nil)
			}, true},
			"get": {func(g *Group) error {
				_, found, err := g.Get([]byte("500"))
				if !found {
					return fmt.Errorf("not found: %w", err)
				}
				return g.Put([]byte("1"), nil)
			}, true},
		} {
			fs.FS = vfs.NewMem()
			d := openDirectory(t, fs)
			s := openTable(t, d, keeping(mode))
			err := commit(s, func(g *Group) error {
				for i := range 1000 {
					if err := g.Put(fmt.Appendf(nil, "%03d", i), []byte(strings.Repeat("v", 50))); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			closeAll(t, s, d)
			d = openDirectory(t, fs)
			s = openTable(t, d, keeping(mode))
			fs.reads.Store(0)
			if err := commit(s, c.step); err != nil {
				t.Errorf("%v, %s: %v", mode, what, err)
			}
			if n := fs.reads.Load(); (n > 0) != (reads || c.reads) {
				t.Errorf("%v, %s: %d reads", mode, what, n)
			}
			closeAll(t, s, d)
		}
	}
}

// What a group answers a Get with is sent after the group's batch was given back to Pebble.
func TestValueOutlivesItsGroup(t *testing.T) {
	for _, mode := range []messages.Accounting{exact, atCut} {
		d := openDirectory(t, vfs.NewMem())
		s := openTable(t, d, keeping(mode))
		var values [][]byte
		for range 20 {
			err := commit(s, func(g *Group) error {
				if err := g.Put([]byte("a"), []byte(strings.Repeat("a", 100))); err != nil {
					return err
				}
				value, _, err := g.Get([]byte("a"))
				values = append(values, value)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := commit(s, putStep("b", strings.Repeat("b", 150))); err != nil {
				t.Fatal(err)
			}
		}
		for i, value := range values {
			if string(value) != strings.Repeat("a", 100) {
				t.Fatalf("%v: value %d is %q", mode, i, value)
			}
		}
		closeAll(t, s, d)
	}
}

// recorded applies a group without operations, if there is anything to write.
func recorded(s *Store) error {
	g, err := s.Begin()
	if err != nil {
		return err
	}
	if g.Empty() {
		g.Abandon()
		return errors.New("nothing to write")
	}
	c, err := s.Apply(g)
	if err != nil {
		g.Abandon()
		return err
	}
	return c.Wait()
}

func TestQuietTableBecomesExact(t *testing.T) {
	mem := vfs.NewMem()
	d := openDirectory(t, mem)
	s := openTable(t, d, keeping(atCut))
	mustPut(t, s, "a", "1")
	closeAll(t, s)
	s = openTable(t, d)
	before := s.Record()
	if err := recorded(s); err == nil {
		t.Error("a record was written before the rows were counted")
	}
	if err := s.Recount(); err != nil {
		t.Fatal(err)
	}
	if s.Snapshots() != 0 {
		t.Error("the recount's snapshot is still open")
	}
	if err := recorded(s); err != nil {
		t.Fatal(err)
	}
	after := proto.CloneOf(s.Record())
	checkRecord(t, after, map[string]string{"a": "1"})
	if isAtCut(after) || !proto.Equal(before.GetPosition(), after.GetPosition()) || before.GetCommitted() != after.GetCommitted() {
		t.Errorf("record %v became %v", before, after)
	}
	if err := recorded(s); err == nil {
		t.Error("the record was written twice")
	}
	closeAll(t, s)
	s = openTable(t, d)
	if !proto.Equal(s.Record(), after) || s.Recounts() {
		t.Errorf("record %v, after an open %v, recounts %v", after, s.Record(), s.Recounts())
	}
	closeAll(t, s, d)
}
