package actors_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// kill stops the host and leaves of the table's files what a kill -9 would have left.
func (h *host) kill() {
	h.Helper()
	path := h.lineage("tasks")
	for from, to := range map[string]string{path: "/killed", path + ".mark": "/killed.mark"} {
		if ok, err := vfs.Clone(h.fs.FS, h.fs.FS, from, to); !ok || err != nil {
			h.Fatal(ok, err)
		}
	}
	h.stop()
	for to, from := range map[string]string{path: "/killed", path + ".mark": "/killed.mark"} {
		if err := h.fs.RemoveAll(to); err != nil {
			h.Fatal(err)
		}
		if ok, err := vfs.Clone(h.fs.FS, h.fs.FS, from, to); !ok || err != nil {
			h.Fatal(ok, err)
		}
		if err := h.fs.RemoveAll(from); err != nil {
			h.Fatal(err)
		}
	}
}

// damageValue turns a bit in a value, in the file of a kind that holds it.
func (h *host) damageValue(dir, kind, value string) {
	h.Helper()
	names, err := h.fs.List(dir)
	if err != nil {
		h.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, kind) {
			continue
		}
		data, err := disk.ReadFile(h.fs, dir+"/"+name, 64<<20)
		if err != nil {
			h.Fatal(err)
		}
		if at := bytes.Index(data, []byte(value)); at >= 0 {
			data[at] ^= 1
			if err := store.WriteDurably(h.fs, dir+"/"+name, data); err != nil {
				h.Fatal(err)
			}
			return
		}
	}
	h.Fatalf("no %s holds %q", kind, value)
}

// rowValue is the value of a row. It is so long that the WAL has many blocks, and says in those behind that those before were synced.
func rowValue(i int) string {
	return fmt.Sprintf("value %02d of the row", i) + strings.Repeat(".", 5000)
}

// fillAndBreak gives the table the rows 0 to 39, and damages row 25. The first 10 are backed up, and the last 30 in the
// WAL alone.
func (h *host) fillAndBreak() {
	h.Helper()
	for i := range 40 {
		h.put("tasks", fmt.Sprintf("%02d", i), rowValue(i))
		if i == 9 {
			h.backup("tasks")
		}
	}
	path := h.lineage("tasks")
	h.kill()
	h.damageValue(path, ".log", "value 25 of")
}

// wantRows wants the rows up to a number, and no others.
func (h *host) wantRows(n int) {
	h.Helper()
	page, err := h.g.Table("tasks").Scan(h.Context(), &messages.Scan{})
	if err != nil {
		h.Fatal(err)
	}
	for i, e := range page.GetEntries() {
		if key := fmt.Sprintf("%02d", i); string(e.GetKey()) != key || string(e.GetValue()) != rowValue(i) {
			h.Errorf("row %d is %s: %.20s", i, e.GetKey(), e.GetValue())
		}
	}
	if len(page.GetEntries()) != n {
		h.Errorf("%d rows, want %d", len(page.GetEntries()), n)
	}
}

// TestLiveRestoreUpToTheDamage: of a WAL that is damaged in its middle all that stands before comes back, and the report names what
// does not.
func TestLiveRestoreUpToTheDamage(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.fillAndBreak()
		h.start()
		h.wantState("tasks", messages.TableState_TABLE_STATE_QUARANTINED)
		report := h.restore(&messages.RestoreTable{Table: "tasks", Live: true, DryRun: true})
		if p := report.GetPlan(); p.GetPosition().GetSeq() != 25 || p.GetRows() != 25 || p.GetServing().GetSeq() != 40 ||
			len(p.GetDamage()) != 1 || !strings.Contains(p.GetDamage()[0], ".log") || p.GetUnproven() {
			t.Errorf("plan %v", p)
		}
		r := h.restore(&messages.RestoreTable{Table: "tasks", Live: true}).GetRestored()
		if r.GetLostFrom() != 26 || r.GetLostTo() != 40 || r.GetPosition().GetSeq() != 25 {
			t.Errorf("restored %v", r)
		}
		h.wantRows(25)
		h.put("tasks", "after", "v")
		if row := h.backup()["tasks"]; row.GetCount() != 26 {
			t.Errorf("backup %v", row)
		}
		if proof, err := h.g.VerifyBackup(h.Context(), "tasks", ""); err != nil || proof.GetRows() != 26 {
			t.Errorf("proof %v, %v", proof, err)
		}
	})
}

// TestUndoUpToTheDamage: what is kept as undo comes back up to its damage, too.
func TestUndoUpToTheDamage(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.fillAndBreak()
		h.start()
		h.restore(&messages.RestoreTable{Table: "tasks", BackupId: "1"})
		h.wantRows(10)
		r := h.restore(&messages.RestoreTable{Table: "tasks", Undo: true}).GetRestored()
		if r.GetSource() != "undo" || r.GetPosition().GetSeq() != 25 {
			t.Errorf("restored %v", r)
		}
		h.wantRows(25)
	})
}

// TestHealUpToTheDamage: the table's own files up to the damage are ahead of its newest backup, and their record says that they are
// sound.
func TestHealUpToTheDamage(t *testing.T) {
	bubble(t, actors.Config{SelfHeal: true}, func(h *host) {
		h.fillAndBreak()
		h.start()
		pass(time.Minute)
		h.settle()
		all := h.restored()
		if len(all) != 1 || all[0].GetSource() != "live" || all[0].GetLostFrom() != 26 || all[0].GetLostTo() != 40 {
			t.Fatalf("restored %v", all)
		}
		h.wantRows(25)
	})
}

// noise is a value of a block of its own, which nothing compresses.
func noise(seed string) string {
	value := make([]byte, 6000)
	var key [32]byte
	copy(key[:], seed)
	rand.NewChaCha8(key).Read(value)
	return string(value)
}

// damagedSince has a table with the rows a to h, of which a to d were written again since the newest backup, and late. The blocks that
// hold b and c as they are now are damaged. It returns how many operations the backup holds.
func (h *host) damagedSince() (backedUp uint64) {
	h.Helper()
	keys := strings.Fields("a b c d e f g h")
	for _, key := range keys {
		backedUp = h.put("tasks", key, noise(key))
	}
	h.backup()
	for _, key := range keys[:4] {
		h.put("tasks", key, noise(key+"2"))
	}
	for range 2 { // flushes
		if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
			h.Fatal(err)
		}
		if err := h.g.OpenTable(h.Context(), "tasks"); err != nil {
			h.Fatal(err)
		}
		h.put("tasks", "late", "v")
	}
	h.settle()
	for _, key := range []string{"b", "c"} {
		h.damageValue(h.lineage("tasks"), ".sst", noise(key + "2")[1000:1100])
	}
	return backedUp
}

// TestHealFromABackup: what was written since the backup, and is damaged, nobody has: the healing says so.
func TestHealFromABackup(t *testing.T) {
	bubble(t, drilling(actors.Config{SelfHeal: true}), func(h *host) {
		backedUp := h.damagedSince()
		pass(25 * time.Hour)
		h.settle()
		all := h.restored()
		if len(all) != 1 || all[0].GetSource() != "backup" || all[0].GetLostFrom() != backedUp+1 || all[0].GetLostTo() != backedUp+6 {
			t.Fatalf("restored %v", all)
		}
		h.wantValue("tasks", "h", noise("h"))
		h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
	})
}

// TestLiveRestoreAroundDamagedBlocks: by hand all readable rows come back, also of a table that serves, and the ranges
// that are left out are named.
func TestLiveRestoreAroundDamagedBlocks(t *testing.T) {
	for name, closed := range map[string]bool{"serving": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, actors.Config{}, func(h *host) {
				h.damagedSince()
				live := &messages.RestoreTable{Table: "tasks", Live: true}
				if closed {
					if err := h.g.CloseTable(h.Context(), "tasks"); err != nil {
						t.Fatal(err)
					}
				} else if _, err := h.g.Restore(h.Context(), &messages.RestoreTable{Table: "tasks", Live: true, DryRun: true}); err == nil {
					t.Error("a dry run closed a table, or looked at files that change")
				}
				r := h.restore(live)
				if p := r.GetPlan(); !p.GetUnproven() || len(p.GetDamaged()) == 0 || len(p.GetDamage()) == 0 || p.GetRows() != 7 || p.GetRowsMissing() != 2 {
					t.Errorf("plan %v", p)
				}
				h.wantState("tasks", messages.TableState_TABLE_STATE_OPEN)
				h.wantValue("tasks", "h", noise("h"))
				h.wantValue("tasks", "late", "v")
				for key, value := range map[string]string{"a": noise("a2"), "b": "", "c": "", "d": noise("d2")} {
					h.wantValue("tasks", key, value)
				}
				h.put("tasks", "after", "v")
				h.backup()
				if _, err := h.g.VerifyBackup(h.Context(), "tasks", ""); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestLiveRestoreOfASoundTable that serves is refused, and closes nothing.
func TestLiveRestoreOfASoundTable(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "a", "v")
		h.backup()
		seen := h.events()
		if _, err := h.g.Restore(h.Context(), &messages.RestoreTable{Table: "tasks", Live: true}); err == nil {
			t.Error("a sound table was restored from its own files")
		}
		if changes := eventsOf[*messages.TableStateChanged](seen); len(changes) != 0 {
			t.Errorf("changes %v", changes)
		}
	})
}
