package actors_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// sums counts rows as a record does.
func sums(data map[string]string) (s store.Sums) {
	var f store.Fingerprinter
	for key, value := range data {
		s.Count++
		s.LiveBytes += uint64(len(key) + len(value))
		s.Fingerprint += f.Row([]byte(key), []byte(value))
	}
	return s
}

// wantLabel wants the manifest of a row's backup to have the sums of data.
func (h *host) wantLabel(row *messages.TableResult, accounting messages.Accounting, data map[string]string) {
	h.Helper()
	h.wantRow(row, backedUp)
	text, err := store.ReadFile(h.fs.FS, backups+"/"+row.GetTable()+"/"+row.GetBackupId()+"/manifest.json")
	var manifest messages.Manifest
	if err := errors.Join(err, protojson.Unmarshal(text, &manifest)); err != nil {
		h.Errorf("manifest: %v", err)
		return
	}
	r, want := manifest.GetRecord(), sums(data)
	got := store.Sums{Count: r.GetCount(), LiveBytes: r.GetLiveBytes(), Fingerprint: r.GetFingerprint()}
	if got != want || r.GetAccounting() != accounting || row.GetCount() != want.Count {
		h.Errorf("label %v of row %v, want %v and %v", r, row, accounting, want)
	}
}

const (
	exact = messages.Accounting_ACCOUNTING_EXACT
	atCut = messages.Accounting_ACCOUNTING_AT_CUT
)

func (h *host) wantCount(table string, count uint64, exact bool) {
	h.Helper()
	if row := h.health(table); row.GetCount() != count || row.GetCountExact() != exact {
		h.Errorf("health of %q counts %d, exact %v, want %d, %v", table, row.GetCount(), row.GetCountExact(), count, exact)
	}
}

// TestBackupsAtCutAreCounted: their labels are exact, as of the cut; the table's own count is an estimate, the newest known.
func TestBackupsAtCutAreCounted(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"fast", "other"}, AtCut: []string{"fast"}}, func(h *host) {
		h.wantCount("fast", 0, true)
		h.wantLabel(h.backup("fast")["fast"], exact, nil)
		for _, table := range []string{"fast", "other"} {
			h.put(table, "a", "1")
			h.put(table, "a", "one")
			h.put(table, "b", "2")
			if _, err := h.g.Table(table).Delete(h.Context(), []byte("b")); err != nil {
				t.Fatal(err)
			}
		}
		h.wantCount("fast", 0, false)
		h.wantCount("other", 1, true)
		data := map[string]string{"a": "one"}
		first := h.backup()
		h.wantLabel(first["fast"], atCut, data)
		h.wantLabel(first["other"], exact, data)
		h.settle()
		h.wantCount("fast", 1, false)
		// Where Pebble merged sstables meanwhile, nothing tells that they hold the same rows; once it is done, nothing changes.
		again := first["fast"]
		for range 5 {
			if again = h.backup()["fast"]; again.GetOutcome() == carried {
				break
			}
		}
		if again.GetOutcome() != carried || !proto.Equal(again.GetPosition(), first["fast"].GetPosition()) {
			t.Errorf("row = %v, want the backup of %v", again, first["fast"])
		}
		h.put("fast", "c", "3")
		h.wantCount("fast", 1, false)
		if _, err := h.g.Table("fast").DeleteRange(h.Context(), []byte("a"), []byte("b")); err != nil {
			t.Fatal(err)
		}
		h.wantLabel(h.backup()["fast"], atCut, map[string]string{"c": "3"})
		h.wantNoStaging()
		if n := h.g.Snapshots("fast"); n != 0 {
			t.Errorf("%d snapshots are open", n)
		}
		h.stop()
		h.start()
		h.wantCount("fast", 1, false)
	})
}

// big writes rows that lie in many blocks of one sstable, and returns them. Nothing is left to compact: Pebble's Close waits
// for a compaction, and that for slow reads.
func (h *host) big(table string) map[string]string {
	h.Helper()
	data := map[string]string{}
	var ops []*messages.Op
	for i := range 400 {
		key, value := fmt.Sprintf("%03d", i), strings.Repeat("v", 1000)
		data[key] = value
		ops = append(ops, putOp(key, value))
	}
	if _, err := h.g.Table(table).Write(h.Context(), &messages.Write{Ops: ops}); err != nil {
		h.Fatalf("write: %v", err)
	}
	h.stop()
	h.start()
	h.settle()
	return data
}

// slowReads makes each read of a table's sstables take a second, until done.
func (h *host) slowReads(table string) (done func()) {
	return h.fs.on(sstRead(table), func(fileOp) error { pass(time.Second); return nil })
}

func sstRead(table string) func(fileOp) bool {
	return func(o fileOp) bool {
		return o.kind == "read" && strings.HasPrefix(o.path, dir+"/tables/"+table+"/") && strings.HasSuffix(o.path, ".sst")
	}
}

// scanning starts a run that counts the rows of "tasks" for minutes, and returns 20 s later.
func (h *host) scanning() (run *sender, done func()) {
	h.Helper()
	done = h.slowReads("tasks")
	run = h.send(h.g.Coordinator(), &messages.BackupAll{})
	pass(20 * time.Second)
	h.settle()
	run.none("run")
	if n := h.g.Snapshots("tasks"); n != 1 {
		h.Errorf("%d snapshots are open during the scan", n)
	}
	return run, done
}

// TestLongScan: the rows of a cut are counted for as long as that makes progress, beside the commits.
func TestLongScan(t *testing.T) {
	config := actors.Config{AtCut: []string{"tasks"}, CutTimeout: 10 * time.Second, CopyTimeout: 30 * time.Second}
	bubble(t, config, func(h *host) {
		data := h.big("tasks")
		run, _ := h.scanning()
		begin := time.Now()
		for i := range 10 {
			h.put("tasks", "000", fmt.Sprint(i))
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("writes during the scan took %v", took)
		}
		pass(10 * time.Minute)
		h.settle()
		h.wantLabel(rows(run.report("run"))["tasks"], atCut, data)
		h.wantCount("tasks", 400, false)
		h.wantNoStaging()
	})
}

// TestHungScan: a scan that makes no progress is a failed row. The table itself never notices.
func TestHungScan(t *testing.T) {
	config := actors.Config{Tables: []string{"tasks", "other"}, AtCut: []string{"tasks"}, CopyTimeout: 10 * time.Second}
	bubble(t, config, func(h *host) {
		data := h.big("tasks")
		release := h.fs.hang(t, sstRead("tasks"))
		begin := time.Now()
		got := h.backup()
		if took := time.Since(begin); took > 12*time.Second {
			t.Errorf("the run took %v", took)
		}
		h.wantRow(got["tasks"], failed, "count of the rows made no progress for 10s")
		h.wantRow(got["other"], backedUp)
		h.put("tasks", "more", "value")
		data["more"] = "value"
		h.wantNoStaging()
		release()
		h.settle()
		if n := h.g.Snapshots("tasks"); n != 0 {
			t.Errorf("%d snapshots are open", n)
		}
		h.wantLabel(h.backup()["tasks"], atCut, data)
	})
}

// TestLateCutAtCut: the snapshot of a cut that comes too late is closed.
func TestLateCutAtCut(t *testing.T) {
	bubble(t, intercepted(actors.Config{AtCut: []string{"tasks"}, CutTimeout: 10 * time.Second}), func(h *host) {
		h.put("tasks", "key", "value")
		gate := make(chan struct{})
		h.middle.set(func(_ string, m any) {
			if _, ok := m.(*messages.Cut); ok {
				<-gate
			}
		}, nil)
		h.wantRow(h.backup()["tasks"], failed, "10s")
		close(gate)
		h.settle()
		h.wantNoStaging()
		if n := h.g.Snapshots("tasks"); n != 0 {
			t.Errorf("%d snapshots are open", n)
		}
		// A Cut that nobody waits for, too.
		h.system.Root.Send(h.pid("tasks"), &messages.Cut{RunId: "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
		h.settle()
		if n := h.g.Snapshots("tasks"); n != 0 {
			t.Errorf("%d snapshots are open", n)
		}
	})
}

// TestEndOfTheStoreEndsTheScan: a stop, a close and a fault do not wait for a scan; its row is a failed one.
func TestEndOfTheStoreEndsTheScan(t *testing.T) {
	for what, end := range map[string]func(h *host) error{
		"close": func(h *host) error { return h.g.CloseTable(h.Context(), "tasks") },
		"stop":  func(h *host) error { return h.g.Stop(h.Context()) },
		"fault": func(h *host) error {
			repair := h.fs.fail(walSync("tasks"))
			h.send(h.pid("tasks"), put("key", "value"))
			h.settle()
			repair()
			pass(2 * time.Second)
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{AtCut: []string{"tasks"}}, func(h *host) {
				data := h.big("tasks")
				run, done := h.scanning()
				begin := time.Now()
				if err := end(h); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took > 3*time.Second {
					t.Errorf("%s took %v", what, took)
				}
				h.settle()
				h.wantRow(rows(run.report("run"))["tasks"], failed)
				h.wantNoStaging()
				done()
				switch what {
				case "close":
					wantText(t, rows(run.report("run"))["tasks"].GetFailure().GetMessage(), "table closed")
					if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
						t.Fatal(err)
					}
				case "stop":
					h.start()
				case "fault": // the write may be there
					pass(time.Minute)
					if _, err := h.g.Table("tasks").Delete(h.Context(), []byte("key")); err != nil {
						t.Fatal(err)
					}
				}
				h.wantLabel(h.backup()["tasks"], atCut, data)
			})
		})
	}
}

// TestTableBecomesExact: in the background, also while nothing is written, and anew after a stop.
func TestTableBecomesExact(t *testing.T) {
	bubble(t, actors.Config{AtCut: []string{"tasks"}}, func(h *host) {
		data := h.big("tasks")
		h.stop()
		h.config.AtCut = nil
		done := h.slowReads("tasks")
		h.start()
		h.wantCount("tasks", 0, false)
		pass(20 * time.Second)
		begin := time.Now()
		h.stop()
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("stop took %v", took)
		}
		h.start()
		pass(20 * time.Second)
		h.settle()
		if _, err := h.g.Table("tasks").DeleteRange(h.Context(), []byte("1"), []byte("2")); err != nil {
			t.Fatal(err)
		}
		h.put("tasks", "new", "row")
		data["new"] = "row"
		for key := range data {
			if strings.HasPrefix(key, "1") {
				delete(data, key)
			}
		}
		h.wantCount("tasks", 0, false)
		before := h.info("tasks").GetPosition()
		pass(time.Hour)
		h.settle()
		h.wantCount("tasks", 301, true)
		if after := h.info("tasks").GetPosition(); !proto.Equal(before, after) {
			t.Errorf("position went from %v to %v", before, after)
		}
		if n := h.g.Snapshots("tasks"); n != 0 {
			t.Errorf("%d snapshots are open", n)
		}
		done()
		h.wantLabel(h.backup()["tasks"], exact, data)
		h.stop()
		h.start()
		h.wantCount("tasks", 301, true)
		h.put("tasks", "newer", "row")
		h.wantCount("tasks", 302, true)
	})
}

// TestTableMadeLaterIsAtCut, and is counted for its last backup.
func TestTableMadeLaterIsAtCut(t *testing.T) {
	bubble(t, actors.Config{AtCut: []string{"later"}}, func(h *host) {
		if err := h.g.CreateTable(h.Context(), "later", false); err != nil {
			t.Fatal(err)
		}
		h.put("later", "a", "1")
		h.put("later", "b", "2")
		h.wantCount("later", 0, false)
		if err := h.g.DropTable(h.Context(), "later"); err != nil {
			t.Fatal(err)
		}
		list, err := h.g.ListBackups(h.Context(), "later")
		if err != nil || len(list.GetBackups()) != 1 || list.GetBackups()[0].GetCount() != 2 {
			t.Errorf("backups = %v, %v, want one of 2 rows", list, err)
		}
	})
}
