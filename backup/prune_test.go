package backup_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// diskUse is the size of all files in the db directories of a table's backups, each inode once.
func diskUse(t *testing.T, disk *hookFS, d *backup.Directory) (total int64) {
	t.Helper()
	backups, err := d.List(table)
	must(t, err)
	seen := map[uint64]bool{}
	for _, b := range backups {
		db := disk.PathJoin(b.Path, "db")
		names, err := disk.mem.List(db)
		must(t, err)
		for _, name := range names {
			identity, err := store.Identify(disk, disk.PathJoin(db, name))
			must(t, err)
			if !seen[identity.GetInode()] {
				seen[identity.GetInode()] = true
				total += identity.GetSize()
			}
		}
	}
	return total
}

func published(t *testing.T, disk *hookFS, d *backup.Directory, n int) (ids []string) {
	t.Helper()
	live := newLive(t, disk.mem, "/data", table, lineageA)
	for range n {
		live.put(10, 300)
		ids = append(ids, publish(t, d, live.cut()).GetBackupId())
	}
	live.close()
	return ids
}

// TestPruneCountsWhatItFrees: what a dry run foresees is what a prune gives back, is what the disk has less, and a dry
// run changes nothing.
func TestPruneCountsWhatItFrees(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	ids := published(t, disk, d, 5)
	must(t, d.Pin(table, ids[1], "kept"))
	policy := backup.Policy{Keep: 2}

	before := snapshot(t, disk.mem, backupsPath)
	disk.hook(func(op, path string) error {
		if mutates(op) {
			t.Errorf("a dry run does %s %s", op, path)
		}
		return nil
	}, nil)
	foreseen, err := d.Foresee(t.Context(), table, policy, noon, nil)
	disk.hook(nil, nil)
	must(t, err)
	if !slices.Equal(before, snapshot(t, disk.mem, backupsPath)) {
		t.Error("a dry run changed the disk")
	}
	used := diskUse(t, disk, d)
	pruned, err := d.Prune(t.Context(), table, policy, noon, nil)
	must(t, err)
	if saved := used - diskUse(t, disk, d); pruned.Freed != saved || foreseen.Freed != saved || saved <= 0 {
		t.Errorf("freed %d B, foresaw %d B, the disk has %d B less", pruned.Freed, foreseen.Freed, saved)
	}
	for i, d := range pruned.Decisions {
		// What was done is told apart from what would be.
		done, would := messages.RetentionOutcome_RETENTION_OUTCOME_REMOVED, messages.RetentionOutcome_RETENTION_OUTCOME_FORESEEN
		if d.GetKeep() {
			done, would = messages.RetentionOutcome_RETENTION_OUTCOME_KEPT, messages.RetentionOutcome_RETENTION_OUTCOME_KEPT
		}
		f := foreseen.Decisions[i]
		if d.GetOutcome() != done || f.GetOutcome() != would {
			t.Errorf("came to %v, foresaw %v", d, f)
		}
		f.Outcome = d.GetOutcome()
		if !proto.Equal(d, f) {
			t.Errorf("decided %v, foresaw %v", d, f)
		}
	}
	if left, _ := complete(t, disk, disk.PathJoin(backupsPath, table)); !slices.Equal(left, []string{ids[1], ids[3], ids[4], "pins"}) {
		t.Errorf("left %v", left)
	}
	if pruned, err = d.Prune(t.Context(), table, policy, noon, nil); pruned.Freed != 0 || err != nil {
		t.Errorf("a second prune freed %d B, %v", pruned.Freed, err)
	}
}

// TestPruneReportsWhatItDid: a backup whose removal failed is not reported as removed, and none of its bytes as freed; the
// rows say why. All others are removed.
func TestPruneReportsWhatItDid(t *testing.T) {
	const kept, removed, failed = messages.RetentionOutcome_RETENTION_OUTCOME_KEPT, messages.RetentionOutcome_RETENTION_OUTCOME_REMOVED,
		messages.RetentionOutcome_RETENTION_OUTCOME_FAILED
	for _, op := range []string{"rename", "sync", "unlink"} {
		t.Run(op, func(t *testing.T) {
			disk := newDisk(t)
			d := openDir(t, disk, backupsPath)
			ids := published(t, disk, d, 4)
			used, injected := diskUse(t, disk, d), false
			disk.hook(func(got, path string) error {
				// Of the second oldest: its rename, the fsync after it, or the removal of its first file.
				mine := strings.Contains(path, ids[1])
				if op == "sync" {
					mine = !injected && exists(t, disk.mem, disk.PathJoin(backupsPath, table, ".pending-remove-"+ids[1]))
				}
				if got == op && mine {
					injected = true
					return errInjected
				}
				return nil
			}, nil)
			pruned, err := d.Prune(t.Context(), table, backup.Policy{Keep: 1}, noon, nil)
			disk.hook(nil, nil)
			wantIs(t, err, errInjected)
			for i, want := range []messages.RetentionOutcome{kept, removed, failed, removed} {
				got := pruned.Decisions[i]
				if got.GetOutcome() != want || (want == failed) != strings.Contains(got.GetFault(), errInjected.Error()) {
					t.Errorf("decision %v, want %v", got, want)
				}
			}
			must(t, disk.mem.RemoveAll(disk.PathJoin(backupsPath, table, ids[1]))) // for the sum
			if saved := used - diskUse(t, disk, d); pruned.Freed <= 0 || pruned.Freed >= saved {
				t.Errorf("freed %d B, and %d B with the one whose removal failed", pruned.Freed, saved)
			}
		})
	}
}

// TestPruneThatIsEnded: what it did not come to is not reported as removed.
func TestPruneThatIsEnded(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	published(t, disk, d, 4)
	ctx, cancel := context.WithCancel(t.Context())
	disk.hook(func(op, _ string) error {
		if op == "rename" {
			cancel()
		}
		return nil
	}, nil)
	pruned, err := d.Prune(ctx, table, backup.Policy{Keep: 1}, noon, nil)
	disk.hook(nil, nil)
	wantIs(t, err, context.Canceled)
	var outcomes []string
	for _, decision := range pruned.Decisions {
		outcomes = append(outcomes, strings.TrimPrefix(decision.GetOutcome().String(), "RETENTION_OUTCOME_"))
	}
	if got := strings.Join(outcomes, " "); got != "KEPT FAILED FAILED REMOVED" {
		t.Errorf("came to %s", got)
	}
}

// TestPruneOnAFullDisk: nothing that prune does needs room.
func TestPruneOnAFullDisk(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	ids := published(t, disk, d, 3)
	must(t, d.Pin(table, ids[0], "kept"))
	disk.hook(func(op, _ string) error {
		switch op {
		case "create", "write", "link", "mkdir":
			return errInjected
		}
		return nil
	}, nil)
	must(t, d.Unpin(table, ids[0]))
	pruned, err := d.Prune(t.Context(), table, backup.Policy{Keep: 1}, noon, nil)
	must(t, err)
	_, err = d.RetainSets()
	must(t, err)
	disk.hook(nil, nil)
	if left, _ := complete(t, disk, disk.PathJoin(backupsPath, table)); pruned.Freed == 0 || !slices.Equal(left, []string{ids[2], "pins"}) {
		t.Errorf("freed %d B, left %v", pruned.Freed, left)
	}
}

// TestPruneEndsWithItsContext: between two removals. What was removed until then is counted, and the rest stays.
func TestPruneEndsWithItsContext(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	ids := published(t, disk, d, 4)
	ctx, cancel := context.WithCancelCause(t.Context())
	renames := 0
	disk.hook(nil, func(op, _ string) {
		if op == "rename" {
			renames++
			cancel(errInjected)
		}
	})
	calls := 0
	pruned, err := d.Prune(ctx, table, backup.Policy{Keep: 1}, noon, func() { calls++ })
	disk.hook(nil, nil)
	wantIs(t, err, errInjected)
	left, pending := complete(t, disk, disk.PathJoin(backupsPath, table))
	if renames != 1 || !slices.Equal(left, ids[1:]) || len(pending) > 0 || pruned.Freed == 0 || calls < 5 {
		t.Errorf("%d renames, left %v and %v, freed %d B, %d times progress", renames, left, pending, pruned.Freed, calls)
	}
}

// TestSpace: own bytes are what one removal gives back; what two backups hold is shared; without identities nothing is.
func TestSpace(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	published(t, disk, d, 3)
	measure := func() ([]backup.Backup, []backup.Space) {
		t.Helper()
		backups, err := d.List(table)
		must(t, err)
		spaces, err := d.Space(t.Context(), backups)
		must(t, err)
		return backups, spaces
	}
	backups, spaces := measure()
	total := func(b backup.Backup) (bytes int64) {
		for _, f := range b.Manifest.GetFiles() {
			bytes += f.GetSize()
		}
		return bytes
	}
	for i, s := range spaces {
		if s.Own <= 0 || s.Shared <= 0 || s.Own+s.Shared != total(backups[i]) {
			t.Errorf("backup %s takes %+v of %d B", backups[i].ID, s, total(backups[i]))
		}
	}
	used := diskUse(t, disk, d)
	pruned, err := d.Prune(t.Context(), table, backup.Policy{Keep: 2}, noon, nil)
	must(t, err)
	if pruned.Freed != spaces[2].Own || used-diskUse(t, disk, d) != pruned.Freed {
		t.Errorf("freed %d B, own were %d B", pruned.Freed, spaces[2].Own)
	}
	// What just two hold is shared as well.
	_, spaces = measure()
	pruned, err = d.Prune(t.Context(), table, backup.Policy{Keep: 1}, noon, nil)
	must(t, err)
	if pruned.Freed != spaces[1].Own {
		t.Errorf("freed %d B, own were %d B", pruned.Freed, spaces[1].Own)
	}
	published(t, disk, d, 2)
	disk.blind = true
	if _, spaces = measure(); spaces[0].Shared+spaces[1].Shared != 0 {
		t.Errorf("without identities %+v", spaces)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Space(ctx, backups[:2])
	wantIs(t, err, context.Canceled)
}

// TestUnpin: what is unpinned may go, a backup that is not there is told, and one without a pin stays so.
func TestUnpin(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	ids := published(t, disk, d, 3)
	must(t, d.Unpin(table, ids[0])) // there is no directory of pins yet
	must(t, d.Pin(table, ids[0], "kept"))
	must(t, d.Pin(table, ids[1], "kept"))
	must(t, d.Unpin(table, ids[0]))
	must(t, d.Unpin(table, ids[0]))
	wantIs(t, d.Unpin(table, "000099_2026-02-11T12-00-00Z"), messages.ErrNotFound)
	wantIs(t, d.Unpin(table, "../"+table), messages.ErrInvalid)
	wantIs(t, d.Unpin("No Table", ids[0]), messages.ErrInvalid)
	_, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
	must(t, err)
	if left, _ := complete(t, disk, disk.PathJoin(backupsPath, table)); !slices.Equal(left, []string{ids[1], ids[2], "pins"}) {
		t.Errorf("left %v", left)
	}
}

// TestPinSurvivesCrash takes the power away after every operation of a pin and of an unpin: the backup is there in any
// case, its pin is whole or not there, and what was answered holds.
func TestPinSurvivesCrash(t *testing.T) {
	rng := newRand(t)
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	id := published(t, disk, d, 1)[0]
	crashes := 0
	check := func(want ...string) {
		t.Helper()
		for _, percent := range []int{0, 50, 100} {
			crashes++
			clone := disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			after, err := backup.Open(backup.Options{FS: clone, Path: backupsPath, StoreID: testStore})
			must(t, err)
			backups, err := after.List(table)
			must(t, err)
			if len(backups) != 1 || backups[0].Fault != nil || !slices.Contains(want, backups[0].Pinned) {
				t.Errorf("after a crash %+v, want a pin of %q", backups, want)
			}
			must(t, after.Close())
		}
	}
	while := func(want []string, act func() error) {
		t.Helper()
		disk.hook(nil, func(op, _ string) {
			if mutates(op) {
				check(want...)
			}
		})
		must(t, act())
		disk.hook(nil, nil)
	}
	while([]string{"", "kept"}, func() error { return d.Pin(table, id, "kept") })
	check("kept")
	while([]string{"", "kept"}, func() error { return d.Unpin(table, id) })
	check("")
	if crashes < 20 {
		t.Errorf("only %d crashes", crashes)
	}
}

// TestUnpinAgain: an unpin that could not be made durable is, once it is asked for again.
func TestUnpinAgain(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	id := published(t, disk, d, 1)[0]
	must(t, d.Pin(table, id, "kept"))
	pins := disk.PathJoin(backupsPath, table, "pins")
	disk.hook(func(op, path string) error {
		if op == "sync" && path == pins {
			return errInjected
		}
		return nil
	}, nil)
	wantIs(t, d.Unpin(table, id), errInjected)
	disk.hook(nil, nil)
	must(t, d.Unpin(table, id))
	backups, err := openDir(t, disk.mem.CrashClone(vfs.CrashCloneCfg{}), backupsPath).List(table)
	must(t, err)
	if len(backups) != 1 || backups[0].Pinned != "" {
		t.Errorf("after a power loss: %+v", backups)
	}
}

// TestRetainKeepsTheNewestProven: also while its proofs cannot be read. One that was found red goes.
func TestRetainKeepsTheNewestProven(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	ids := published(t, disk, d, 5)
	proof := func(id string, verdict messages.Verdict) {
		t.Helper()
		b, err := d.Find(table, id)
		must(t, err)
		data, err := protojson.Marshal(&messages.Proof{FormatVersion: store.FormatVersion, Table: table, BackupId: id,
			ManifestSha256: b.ManifestSHA256, Verdict: verdict})
		must(t, err)
		must(t, disk.mem.MkdirAll(disk.PathJoin(backupsPath, table, "proofs"), 0o755))
		overwrite(t, disk.mem, disk.PathJoin(backupsPath, table, "proofs", id+".jsonl"), append(data, '\n'))
	}
	proof(ids[0], messages.Verdict_VERDICT_PROVEN)
	proof(ids[1], messages.Verdict_VERDICT_PROVEN)
	proof(ids[2], messages.Verdict_VERDICT_RED)
	retain := func(reason string, left ...string) {
		t.Helper()
		decisions, err := d.Retain(table, backup.Policy{Keep: 1, Lineages: []string{lineageA}}, noon)
		must(t, err)
		var kept []string
		for _, decision := range slices.Backward(decisions) {
			if decision.GetKeep() {
				kept = append(kept, decision.GetBackupId())
			}
			if decision.GetBackupId() == ids[1] && !slices.Contains(decision.GetReasons(), reason) {
				t.Errorf("decided %v, want %q", decision, reason)
			}
		}
		if !slices.Equal(kept, left) {
			t.Errorf("left %v, want %v", kept, left)
		}
	}
	disk.hook(func(op, path string) error {
		if op == "open" && strings.HasSuffix(path, ids[1]+".jsonl") {
			return errInjected
		}
		return nil
	}, nil)
	retain("its proofs cannot be read", ids[0], ids[1], ids[4])
	disk.hook(nil, nil)
	retain("newest proven of lineage "+lineageA, ids[1], ids[4])
}
