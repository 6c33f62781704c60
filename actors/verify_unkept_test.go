package actors_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestVerifyOnAFullDisk: the report has the verdict though its proof cannot be written, and says so beside it.
func TestVerifyOnAFullDisk(t *testing.T) {
	bubble(t, actors.Config{DisableDrill: true}, func(h *host) {
		h.put("tasks", "a", "1")
		id := h.backup()["tasks"].GetBackupId()
		told := h.verdicts()
		h.fs.on(under(backups+"/tasks/proofs", "create", "write", "mkdir"), func(fileOp) error { return syscall.ENOSPC })
		want := func(verdict messages.Verdict) {
			t.Helper()
			report, err := h.g.Verify(h.Context(), &messages.VerifyBackup{})
			if err != nil {
				t.Fatal(err)
			}
			r := report.GetResults()[0]
			if r.GetProof().GetVerdict() != verdict || !strings.Contains(r.GetFailure().GetMessage(), "keep proof") || r.GetFailure().GetHint() == "" {
				t.Errorf("result %v", r)
			}
			h.settle()
			if all := told(); len(all) == 0 || all[len(all)-1].GetVerdict() != verdict {
				t.Errorf("told %v", all)
			}
		}
		want(messages.Verdict_VERDICT_PROVEN)
		if row := h.health("tasks"); row.GetLastProof() != nil {
			t.Errorf("health counts a proof that the disk does not have: %v", row)
		}
		h.damage(h.sstable(h.backupPath("tasks", id)))
		want(messages.Verdict_VERDICT_RED)
		if row := h.health("tasks"); row.GetGrade() == messages.Grade_GRADE_GREEN {
			t.Errorf("health does not count what was found: %v", row)
		}
	})
}

// TestDrillOnAFullDisk does not prove the same backup again and again, since its proof cannot be written.
func TestDrillOnAFullDisk(t *testing.T) {
	bubble(t, drilling(actors.Config{}), func(h *host) {
		h.fs.on(under(backups+"/tasks/proofs", "create", "write", "mkdir"), func(fileOp) error { return syscall.ENOSPC })
		told := h.verdicts()
		h.put("tasks", "a", "1")
		h.backup()
		pass(4 * time.Hour)
		h.settle()
		if n := len(told()); n < 8 || n > 17 {
			t.Errorf("proven %d times in four hours, want about one in 15 minutes", n)
		}
	})
}

// TestVerifySetNamesAnotherBackup: a sound backup is not proven for a set that names another.
func TestVerifySetNamesAnotherBackup(t *testing.T) {
	bubble(t, actors.Config{DisableDrill: true}, func(h *host) {
		h.put("tasks", "a", "1")
		report, err := h.g.Backup(h.Context(), &messages.BackupAll{})
		if err != nil {
			t.Fatal(err)
		}
		run := report.GetSet().GetRunId()
		verify := func() *messages.VerifyResult {
			t.Helper()
			report, err := h.g.Verify(h.Context(), &messages.VerifyBackup{RunId: run})
			if err != nil {
				t.Fatal(err)
			}
			return report.GetResults()[0]
		}
		if r := verify(); r.GetFailure() != nil || r.GetProof().GetVerdict() != messages.Verdict_VERDICT_PROVEN {
			t.Errorf("as it was made: %v", r)
		}
		path := backups + "/sets/" + run + ".json"
		sum := report.GetSet().GetResults()[0].GetManifestSha256()
		data, err := store.ReadFile(h.fs.FS, path)
		if err != nil || !strings.Contains(string(data), sum) {
			t.Fatalf("set %s, %v", data, err)
		}
		if err := store.WriteDurably(h.fs.FS, path, []byte(strings.Replace(string(data), sum, strings.Repeat("0", 64), 1))); err != nil {
			t.Fatal(err)
		}
		if r := verify(); r.GetFailure().GetCode() != messages.Code_CODE_DATA_LOSS {
			t.Errorf("another backup than the set names: %v", r)
		}
	})
}
