package backup_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// TestVerdictThatCannotBeKept: a disk that takes no proof withholds no verdict. A red backup counts as red all the same,
// with those that share its file. A proven one does not count as proven before its proof is kept.
func TestVerdictThatCannotBeKept(t *testing.T) {
	for _, full := range []string{"create", "write", "sync", "rename", "mkdir"} {
		t.Run(full, func(t *testing.T) {
			disk, d, _, ids := pairOnDisk(t)
			refuse := func() {
				disk.hook(func(op, path string) error {
					if op == full && strings.Contains(path, "proofs") {
						return syscall.ENOSPC
					}
					return nil
				}, nil)
			}
			verify := func(want messages.Verdict, unkept bool) backup.Verified {
				t.Helper()
				v, err := d.Verify(t.Context(), table, ids[0], backup.VerifyOptions{})
				must(t, err)
				if v.Proof.GetVerdict() != want || errors.Is(v.Unkept, syscall.ENOSPC) != unkept {
					t.Errorf("verified %v, unkept: %v", v.Proof, v.Unkept)
				}
				return v
			}
			refuse()
			verify(messages.Verdict_VERDICT_PROVEN, true)
			if got := verdictOf(t, d, ids[0]); got != unproven {
				t.Errorf("proven, and not kept: %s", got)
			}
			undo := damageInPlace(t, disk, ids[0])
			v := verify(messages.Verdict_VERDICT_RED, true)
			if got := verdictOf(t, d, ids[0]); got != red {
				t.Errorf("red, and not kept: %s", got)
			}
			for _, neighbour := range v.Neighbours {
				if got := verdictOf(t, d, neighbour); got != red {
					t.Errorf("neighbour of red, and not kept: %s", got)
				}
			}
			if _, _, err := d.Choose(table, backup.Choice{ID: ids[0]}); err == nil {
				t.Error("a backup that was found red is restored")
			}
			undo()
			verify(messages.Verdict_VERDICT_PROVEN, true)
			if got := verdictOf(t, d, ids[0]); got != unproven {
				t.Errorf("whole again: %s", got)
			}
			disk.hook(nil, nil)
			damageInPlace(t, disk, ids[0])
			verify(messages.Verdict_VERDICT_RED, false)
			must(t, d.Close())
			d = openDir(t, disk, backupsPath)
			if got := verdictOf(t, d, ids[0]); got != red {
				t.Errorf("kept, after another open: %s", got)
			}
		})
	}
}
