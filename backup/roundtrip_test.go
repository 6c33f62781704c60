package backup_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// millionEnv asks for the round trip of a million rows, which takes its time.
const millionEnv = "GABION_MILLION"

// churn writes n rows, overwrites a third, removes some one by one, and a tenth by range.
func (l *servedTable) churn(n int) {
	l.t.Helper()
	const most = 10_000
	key := func(i int) string { return fmt.Sprintf("%08d", i) }
	each := func(step, from int, do func(g *store.Group, key string, i int) error) {
		for start := from; start < n; start += most * step {
			l.write(func(g *store.Group) error {
				for i := start; i < min(n, start+most*step); i += step {
					if err := do(g, key(i), i); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	put := func(round int) func(*store.Group, string, int) error {
		return func(g *store.Group, key string, i int) error {
			value := fmt.Sprint(round, i)[:1+i%3]
			l.rows[key] = value
			return g.Put([]byte(key), []byte(value))
		}
	}
	each(1, 0, put(10_000))
	each(3, 0, put(20_000))
	each(7, 1, func(g *store.Group, key string, _ int) error {
		delete(l.rows, key)
		return g.Delete([]byte(key))
	})
	from, to := n/2, n/2+n/10
	for i := from; i < to; i++ {
		delete(l.rows, key(i))
	}
	if from < to {
		l.write(func(g *store.Group) error { return g.DeleteRange([]byte(key(from)), []byte(key(to)), nil) })
	}
	l.put(n+1, n+2, 10) // in the WAL alone
}

// TestRoundTrip: what is restored is the table as it was at the cut, row by row, in either accounting.
func TestRoundTrip(t *testing.T) {
	sizes := []int{1, 1000, 30_000}
	if os.Getenv(millionEnv) != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, mode := range []messages.Accounting{messages.Accounting_ACCOUNTING_EXACT, messages.Accounting_ACCOUNTING_AT_CUT} {
		for _, n := range sizes {
			t.Run(fmt.Sprint(mode, n), func(t *testing.T) {
				fs := store.RealFS()
				root, err := store.RealPath(fs, t.TempDir())
				must(t, err)
				d := openDir(t, fs, filepath.Join(root, "backups"))
				live := serveTable(t, fs, root, mode)
				live.churn(n)
				id, want := publish(t, d, live.cut()).GetBackupId(), maps.Clone(live.rows)
				lineage := live.s.Lineage()
				live.put(0, min(n, 50), 5) // what came after the cut
				live.close()

				s, proof := restoreInto(t, d, live.dir, id)
				if proof.GetVerdict() != messages.Verdict_VERDICT_PROVEN || proof.GetRows() != uint64(len(want)) || proof.GetBy() != "restore" {
					t.Errorf("proof %v", proof)
				}
				sameRows(t, rowsOf(t, s), want)
				record := s.Record()
				if record.GetAccounting() != mode || record.GetCount() != uint64(len(want)) {
					t.Errorf("record %v", record)
				}
				// The lineage's own backup, of its own first cut, is proven too.
				live.s = s
				second := publish(t, d, live.cut()).GetBackupId()
				if p := verify(t, d, second, ""); p.GetVerdict() != messages.Verdict_VERDICT_PROVEN || p.GetRows() != proof.GetRows() {
					t.Errorf("of the restored table: %v", p)
				}
				live.close()
				must(t, live.dir.Serve(table, lineage, store.UndoRestored, noon))
				live.open()
				sameRows(t, rowsOf(t, live.s), live.rows)
			})
		}
	}
}

// TestSalvage: of a red backup there is what can be read, where it is asked for, and only then.
func TestSalvage(t *testing.T) {
	disk, d, live, ids := pairOnDisk(t)
	live.close()
	log := func() string {
		names, err := disk.mem.List(disk.PathJoin(backupsPath, table, ids[1], "db"))
		must(t, err)
		for _, name := range names {
			if filepath.Ext(name) == ".log" {
				return disk.PathJoin(backupsPath, table, ids[1], "db", name)
			}
		}
		t.Fatal("no log")
		return ""
	}()
	data, err := store.ReadFile(disk.mem, log)
	must(t, err)
	overwrite(t, disk.mem, log, data[:len(data)/2])
	overwrite(t, disk.mem, log+".other", data)
	if p := verify(t, d, ids[1], ""); p.GetVerdict() != messages.Verdict_VERDICT_RED {
		t.Fatalf("proof %v", p)
	}
	if _, _, err := d.Choose(table, backup.Choice{ID: ids[1]}); err == nil {
		t.Error("chosen without red")
	}
	if _, err := d.OpenBackup(table, ids[1], false); err == nil {
		t.Error("opened without red")
	}
	b, _, err := d.Choose(table, backup.Choice{ID: ids[1], Red: true})
	must(t, err)
	reader, err := d.OpenBackup(table, ids[1], true)
	must(t, err)
	if n := len(rowsOf(t, reader.Store)); n < 60 {
		t.Errorf("%d rows can be read where the backup is", n)
	}
	must(t, reader.Close())
	r, err := live.dir.StartRestore(table)
	must(t, err)
	left, err := d.Remains(b, nil)
	must(t, err)
	if !left.Proven || left.Whole() || left.Reached != b.Manifest.GetRecord().GetPosition().GetSeq() {
		t.Errorf("proven %v, whole %v, reached %d", left.Proven, left.Whole(), left.Reached)
	}
	must(t, backup.CopyRemains(t.Context(), disk.mem, nil, left, r.Path(), backup.VerifyOptions{}))
	if exists(t, disk, disk.PathJoin(r.Path(), disk.PathBase(log)+".other")) {
		t.Error("copied what is not the backup's")
	}
	record, err := r.Finish(nil)
	must(t, err)
	must(t, r.Serve(store.UndoRestored, noon))
	must(t, r.Abandon())
	if record.GetParent().GetSeq() > b.Manifest.GetRecord().GetPosition().GetSeq() || record.GetAccounting() != messages.Accounting_ACCOUNTING_AT_CUT {
		t.Errorf("record %v of backup %v", record, b.Manifest.GetRecord())
	}
	s, err := live.dir.Open(table, store.OpenOptions{})
	must(t, err)
	live.s = s
	if !s.Recounts() {
		t.Error("its sums are believed")
	}
	must(t, s.Recount())
	got := rowsOf(t, s)
	if len(got) < 60 || len(got) >= len(live.rows) {
		t.Errorf("%d rows of %d", len(got), len(live.rows))
	}
	for key, value := range got {
		if live.rows[key] != value {
			t.Errorf("key %q is %q, was %q", key, value, live.rows[key])
		}
	}
}
