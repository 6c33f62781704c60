package backup_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// servedTable is a table of package store, as a host serves it.
type servedTable struct {
	t    testing.TB
	fs   vfs.FS // the bare one, so that hooks see the backup's operations only
	dir  *store.Directory
	s    *store.Store
	mode messages.Accounting
	rows map[string]string
}

// serveTable makes a table below root, at root/gabion.
func serveTable(t testing.TB, fs vfs.FS, root string, mode messages.Accounting) *servedTable {
	t.Helper()
	dir, err := store.OpenDirectory(store.DirectoryOptions{FS: fs, Path: fs.PathJoin(root, "gabion"), MemTableBytes: 64 << 10})
	must(t, err)
	l := &servedTable{t: t, fs: fs, dir: dir, mode: mode, rows: map[string]string{}}
	l.open()
	t.Cleanup(func() {
		l.close()
		must(t, dir.Close())
	})
	return l
}

func (l *servedTable) open() {
	l.t.Helper()
	s, err := l.dir.Open(table, store.OpenOptions{Create: true, Accounting: l.mode})
	must(l.t, err)
	l.s = s
}

func (l *servedTable) close() {
	if l.s != nil {
		must(l.t, l.s.Close())
		l.s = nil
	}
}

// write commits one group, durably.
func (l *servedTable) write(fill func(*store.Group) error) {
	l.t.Helper()
	g, err := l.s.Begin()
	must(l.t, err)
	must(l.t, fill(g))
	c, err := l.s.Apply(g)
	must(l.t, err)
	must(l.t, c.Wait())
}

// put commits rows with the keys from to to-1, in one group.
func (l *servedTable) put(from, to, size int) {
	l.t.Helper()
	l.write(func(g *store.Group) error {
		for i := from; i < to; i++ {
			key, value := fmt.Sprintf("key%08d", i), noise(uint64(len(l.rows)*7919+i), size)
			l.rows[key] = value
			if err := g.Put([]byte(key), []byte(value)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *servedTable) flush() {
	l.t.Helper()
	must(l.t, l.s.Flush())
}

// compact rewrites all sstables into several small ones of the lowest level.
func (l *servedTable) compact() {
	l.t.Helper()
	path := l.fs.PathJoin(l.dir.Path(), "tables", table, l.s.Lineage())
	l.close()
	o := &pebble.Options{FS: l.fs, Logger: quiet{}, FormatMajorVersion: store.PebbleFormat, ErrorIfNotExists: true,
		FlushSplitBytes: 16 << 10}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 16 << 10
	}
	db, err := pebble.Open(path, o)
	must(l.t, err)
	must(l.t, db.Compact(l.t.Context(), []byte{0}, []byte{0xff}, false))
	must(l.t, db.Close())
	l.open()
}

// cut captures the table, as a run does: of one at_cut the rows are counted.
func (l *servedTable) cut() backup.Cut {
	l.t.Helper()
	run := ulid.Make().String()
	staging := l.dir.Staging(run, table)
	record, err := l.s.Cut(staging)
	must(l.t, err)
	if l.mode == messages.Accounting_ACCOUNTING_AT_CUT {
		n, err := l.s.Snapshot()
		must(l.t, err)
		sums, err := n.Sums(1, nil)
		must(l.t, err)
		must(l.t, n.Close())
		sums.Label(record)
	}
	return backup.Cut{Table: table, RunID: run, Staging: staging, Content: store.Content{Record: record}, Started: noon}
}

// rowsOf reads a whole store.
func rowsOf(t testing.TB, s *store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for row, err := range scanOf(t, s) {
		must(t, err)
		all[string(row.GetKey())] = string(row.GetValue())
	}
	return all
}

// scanOf yields the rows of a store as they are now.
func scanOf(t testing.TB, s *store.Store) backup.Rows {
	return func(yield func(*messages.Entry, error) bool) {
		n, err := s.Snapshot()
		must(t, err)
		defer func() { must(t, n.Close()) }()
		for scan := (&messages.Scan{}); ; {
			page, err := n.Page(scan)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range page.GetEntries() {
				if !yield(e, nil) {
					return
				}
			}
			if scan.Start = page.GetNext(); len(scan.Start) == 0 {
				return
			}
		}
	}
}

// restoreInto puts a backup in the place of the table, as a host does, and returns the rows it then has.
func restoreInto(t testing.TB, d *backup.Directory, dir *store.Directory, id string) (*store.Store, *messages.Proof) {
	t.Helper()
	b, _, err := d.Choose(table, backup.Choice{ID: id})
	must(t, err)
	r, err := dir.StartRestore(table)
	must(t, err)
	defer func() { must(t, r.Abandon()) }()
	proof, err := d.Restore(t.Context(), b, r.Path(), backup.VerifyOptions{})
	must(t, err)
	record, err := r.Finish(b.Manifest.GetRecord())
	must(t, err)
	must(t, r.Serve(store.UndoRestored, noon))
	s, err := dir.Open(table, store.OpenOptions{KeepAccounting: true})
	must(t, err)
	if s.Lineage() != r.Lineage() || record.GetParent().GetLineage() != b.Lineage() {
		t.Errorf("serves lineage %s of record %v, want %s from %s", s.Lineage(), record, r.Lineage(), b.Lineage())
	}
	return s, proof
}

func sameRows(t testing.TB, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for key, value := range want {
		if got[key] != value {
			t.Fatalf("key %q: %d B %.20q, want %d B %.20q; %d rows, want %d", key, len(got[key]), got[key], len(value), value, len(got), len(want))
		}
	}
	t.Fatalf("%d rows, want %d", len(got), len(want))
}

// proofsOf returns the proofs that lie on disk for a backup, oldest first.
func proofsOf(t testing.TB, fs vfs.FS, path, id string) (proofs []*messages.Proof) {
	t.Helper()
	file := fs.PathJoin(path, table, "proofs", id+".jsonl")
	if !exists(t, fs, file) {
		return nil
	}
	data, err := store.ReadFile(fs, file)
	must(t, err)
	for line := range strings.Lines(string(data)) {
		var p messages.Proof
		must(t, protojson.Unmarshal([]byte(line), &p))
		proofs = append(proofs, &p)
	}
	return proofs
}
