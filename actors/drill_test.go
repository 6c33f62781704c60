package actors_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// drilling is the configuration of a drill whose proofs last a day.
func drilling(c actors.Config) actors.Config {
	c.DrillEvery = 24 * time.Hour
	return c
}

// verdicts returns the BackupVerified of a host from now on, so far.
func (h *host) verdicts() func() []*messages.Proof {
	seen := h.events()
	return func() (proofs []*messages.Proof) {
		for _, e := range eventsOf[*messages.BackupVerified](seen) {
			proofs = append(proofs, e.GetProof())
		}
		return proofs
	}
}

// damage flips a bit in the middle of a file, through its own inode.
func (h *host) damage(path string) {
	h.Helper()
	f, err := h.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		h.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		h.Fatal(err)
	}
	b := make([]byte, 1)
	at := info.Size() / 3
	if _, err := f.ReadAt(b, at); err != nil {
		h.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, at); err != nil {
		h.Fatal(err)
	}
	if err := f.Close(); err != nil {
		h.Fatal(err)
	}
}

// sstable is the path of the largest of a database's sstables, once no compaction writes another.
func (h *host) sstable(dir string) string {
	h.Helper()
	h.settle()
	names, err := h.fs.List(dir)
	if err != nil {
		h.Fatal(err)
	}
	largest, size := "", int64(-1)
	slices.Sort(names)
	for _, name := range names {
		info, err := h.fs.Stat(dir + "/" + name)
		if err != nil {
			h.Fatal(err)
		}
		if strings.HasSuffix(name, ".sst") && info.Size() > size {
			largest, size = dir+"/"+name, info.Size()
		}
	}
	if largest == "" {
		h.Fatalf("%s has no sstable among %v", dir, names)
	}
	return largest
}

// backupPath is the directory of a backup's database.
func (h *host) backupPath(table, id string) string { return backups + "/" + table + "/" + id + "/db" }

// lineage is the directory of the lineage that serves.
func (h *host) lineage(table string) string {
	h.Helper()
	return dir + "/tables/" + table + "/" + h.info(table).GetPosition().GetLineage()
}

// TestDrill: what a run has published is proven soon, and again when the proof is old; health shows its age.
func TestDrill(t *testing.T) {
	bubble(t, drilling(actors.Config{Tables: []string{"tasks", "other"}}), func(h *host) {
		proofs := h.verdicts()
		h.put("tasks", "a", "1")
		pass(time.Hour) // nothing is there to be proven
		if len(proofs()) != 0 {
			t.Fatalf("proofs %v", proofs())
		}
		h.backup()
		pass(time.Minute)
		h.settle()
		if len(proofs()) != 2 {
			t.Fatalf("%d proofs of two backups", len(proofs()))
		}
		for _, p := range proofs() {
			if p.GetVerdict() != messages.Verdict_VERDICT_PROVEN || p.GetBy() != "drill" {
				t.Errorf("proof %v", p)
			}
		}
		row := h.health("tasks")
		if row.GetGrade() != messages.Grade_GRADE_GREEN || row.GetLastProof() == nil || row.GetLastCheck() == nil {
			t.Errorf("health %v", row)
		}
		pass(23 * time.Hour)
		h.settle()
		if len(proofs()) != 2 {
			t.Fatalf("%d proofs before a day has passed", len(proofs()))
		}
		pass(2 * time.Hour)
		h.settle()
		if len(proofs()) != 4 {
			t.Fatalf("%d proofs after a day", len(proofs()))
		}

		// The proofs are on disk: a restart proves nothing anew.
		h.stop()
		h.start()
		proofs = h.verdicts()
		pass(20 * time.Hour)
		h.settle()
		if len(proofs()) != 0 {
			t.Errorf("proofs after a restart: %v", proofs())
		}
	})
}

// TestDrillFindsDamage: a backup that turns red is taken anew, without a link to it, and health says what is wrong until then.
func TestDrillFindsDamage(t *testing.T) {
	bubble(t, drilling(actors.Config{Tables: []string{"tasks", "other"}}), func(h *host) {
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, strings.Repeat(key, 1000))
		}
		id := h.backup("tasks")["tasks"].GetBackupId()
		pass(time.Minute)
		proofs := h.verdicts()
		h.damage(h.sstable(h.backupPath("tasks", id)))
		pass(25 * time.Hour)
		h.settle()
		list, err := h.g.ListBackups(h.Context(), "tasks")
		if err != nil {
			t.Fatal(err)
		}
		if n := len(list.GetBackups()); n != 2 {
			t.Fatalf("%d backups, want a new one: %v", n, list.GetBackups())
		}
		newest := list.GetBackups()[0]
		if newest.GetProof().GetVerdict() != messages.Verdict_VERDICT_PROVEN || list.GetBackups()[1].GetProof().GetVerdict() != messages.Verdict_VERDICT_RED {
			t.Errorf("backups %v", list.GetBackups())
		}
		if len(proofs()) < 2 || proofs()[0].GetVerdict() != messages.Verdict_VERDICT_RED || !strings.Contains(proofs()[0].GetFile(), ".sst") {
			t.Errorf("proofs %v", proofs())
		}
		row := h.health("tasks")
		if row.GetGrade() != messages.Grade_GRADE_YELLOW || row.GetRedBackups() != 1 {
			t.Errorf("health %v", row)
		}
		h.restore(&messages.RestoreTable{Table: "tasks"})
		h.wantValue("tasks", "c", strings.Repeat("c", 1000))
	})
}

// TestDamagedTable: damage of the live table is found by the drill, and told; a second backup that is red too tells it as well.
func TestDamagedTable(t *testing.T) {
	bubble(t, drilling(actors.Config{Tables: []string{"tasks", "other"}}), func(h *host) {
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, strings.Repeat(key, 1000))
		}
		h.backup()
		pass(time.Minute)
		h.damage(h.sstable(h.lineage("tasks")))
		pass(25 * time.Hour)
		h.settle()
		row := h.health("tasks")
		if row.GetGrade() != messages.Grade_GRADE_RED || !strings.Contains(strings.Join(row.GetConcerns(), " "), "damaged") {
			t.Errorf("health %v", row)
		}
		if other := h.health("other"); other.GetGrade() != messages.Grade_GRADE_GREEN {
			t.Errorf("health of another table %v", other)
		}
		h.restore(&messages.RestoreTable{Table: "tasks"})
		if row := h.health("tasks"); row.GetGrade() == messages.Grade_GRADE_RED {
			t.Errorf("health after the restore %v", row)
		}
		h.wantValue("tasks", "c", strings.Repeat("c", 1000))
	})
}

// TestHeal: what is damaged is restored without being asked, once, and nothing is lost where a backup has the rows of the damaged
// blocks.
func TestHeal(t *testing.T) {
	bubble(t, drilling(actors.Config{Tables: []string{"tasks", "other"}, SelfHeal: true}), func(h *host) {
		seen := h.events()
		for _, key := range strings.Fields("a b c d e f g h") {
			h.put("tasks", key, strings.Repeat(key, 1000))
		}
		h.backup()
		h.put("tasks", "late", "kept")
		pass(time.Minute)
		h.damage(h.sstable(h.lineage("tasks")))
		_, err := h.g.Table("tasks").Scan(h.Context(), &messages.Scan{})
		_ = err // the block may be cached
		pass(25 * time.Hour)
		healed := eventsOf[*messages.TableRestored](seen)
		if len(healed) != 1 || !healed[0].GetHealed() || healed[0].GetLostTo() != 0 || healed[0].GetLossId() != "" || healed[0].GetMendedBy() == "" {
			t.Fatalf("healed %v", healed)
		}
		h.wantValue("tasks", "c", strings.Repeat("c", 1000))
		h.wantValue("tasks", "late", "kept")

		// Broken again so soon, it waits for a person.
		h.backup("tasks")
		h.damage(h.sstable(h.lineage("tasks")))
		pass(20 * time.Hour)
		if healed = eventsOf[*messages.TableRestored](seen); len(healed) != 1 {
			t.Errorf("healed twice: %v", healed)
		}
	})
}

// TestVerifyBesideDrill: who asks for a proof does not wait for the drill, which takes its time.
func TestVerifyBesideDrill(t *testing.T) {
	bubble(t, drilling(actors.Config{DrillBytes: 1 << 20}), func(h *host) {
		proofs := h.verdicts()
		noise := make([]byte, 8<<20) // is not compressed
		rand.NewChaCha8([32]byte{}).Read(noise)
		h.put("tasks", "a", string(noise))
		h.backup()
		pass(time.Second)
		begun := time.Now()
		report, err := h.g.Verify(h.Context(), &messages.VerifyBackup{Tables: []string{"tasks"}})
		if err != nil || report.GetResults()[0].GetProof().GetBy() != "verify" {
			t.Fatalf("verify = %v, %v", report, err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("verify took %v", took)
		}
		pass(time.Hour)
		h.settle()
		// The drill was under way before, and done after.
		if len(proofs()) != 2 || proofs()[0].GetBy() != "verify" || (proofs())[1].GetBy() != "drill" {
			t.Errorf("proofs %v", proofs())
		}
	})
}
