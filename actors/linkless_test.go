package actors_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// linkless makes the file system one without hard links, and notes whether an sstable is copied to the staging.
func (h *host) linkless(refusal error) {
	h.fs.on(func(o fileOp) bool { return o.kind == "link" }, func(o fileOp) error {
		return &os.LinkError{Op: "link", Old: "x", New: o.path, Err: refusal}
	})
	h.fs.on(under(dir+"/staging", "create"), func(o fileOp) error {
		if strings.HasSuffix(o.path, ".sst") {
			h.Errorf("%s is copied while commits wait", o.path)
		}
		return nil
	})
}

// wantFewSSTables wants no more sstables than a table of few rows has: each round of a test makes at least one obsolete.
func (h *host) wantFewSSTables(table string) {
	h.Helper()
	names, err := h.fs.FS.List(h.lineage(table))
	if err != nil {
		h.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".sst") })
	if len(names) > 5 {
		h.Errorf("%s has %d sstables: those that cuts were lent are still there", table, len(names))
	}
}

// TestRunsWithoutLinks: on file systems without hard links every run backs up, the backups are proven, and no file stays
// that a cut was lent.
func TestRunsWithoutLinks(t *testing.T) {
	for _, refusal := range []error{syscall.EPERM, syscall.EXDEV, syscall.EOPNOTSUPP} {
		t.Run(refusal.Error(), func(t *testing.T) {
			bubble(t, actors.Config{Tables: []string{"tasks", "sums"}, AtCut: []string{"sums"}, MemTableBytes: 64 << 10}, func(h *host) {
				h.linkless(refusal)
				for round := range 8 {
					for i := range 20 {
						for _, table := range []string{"tasks", "sums"} {
							h.put(table, fmt.Sprint(i), strings.Repeat("v", 1000+round))
						}
					}
					got := h.backup()
					for _, table := range []string{"tasks", "sums"} {
						h.wantRow(got[table], backedUp)
						proof, err := h.g.VerifyBackup(h.Context(), table, "")
						if err != nil || proof.GetRows() != 20 {
							t.Errorf("round %d: proof of %s = %v, %v", round, table, proof, err)
						}
					}
					h.wantRow(h.backup()["tasks"], carried)
				}
				h.wantNoStaging()
				for _, table := range []string{"tasks", "sums"} {
					h.settle()
					h.wantFewSSTables(table)
				}
			})
		})
	}
}

// TestHungCopyWithoutLinks: the table writes on beside a copy that hangs, and the files that it holds up go with the run.
func TestHungCopyWithoutLinks(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a"}, CopyTimeout: 10 * time.Second, MemTableBytes: 64 << 10}, func(h *host) {
		h.linkless(syscall.EPERM)
		for i := range 20 {
			h.put("a", fmt.Sprint(i), strings.Repeat("v", 1000))
		}
		release := h.fs.hang(h.T, under(backups+"/a", "write", "sync"))
		run := h.run("")
		h.settle()
		for round := range 10 {
			for i := range 20 {
				h.put("a", fmt.Sprint(i), strings.Repeat("w", 1000+round))
			}
		}
		pass(15 * time.Second)
		h.settle()
		h.wantRow(rows(run.one("run").(*messages.BackupReport))["a"], failed, "no progress for 10s")
		release()
		h.settle()
		h.wantRow(h.backup()["a"], backedUp)
		h.wantNoStaging()
		if proof, err := h.g.VerifyBackup(h.Context(), "a", ""); err != nil || proof.GetRows() != 20 {
			t.Errorf("proof = %v, %v", proof, err)
		}
		h.settle()
		h.wantFewSSTables("a")
	})
}
