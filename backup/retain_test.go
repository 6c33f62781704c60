package backup_test

import (
	"slices"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

func TestRetain(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	a := newLive(t, disk.mem, "/data", table, lineageA)
	b := newLive(t, disk.mem, "/data", table, lineageB)
	dir := disk.PathJoin(backupsPath, table)
	var all []string
	for i := range 6 {
		live := a
		if i >= 3 {
			live = b
		}
		live.put(5, 100)
		cut := live.cut()
		cut.Started = noon.AddDate(-i, 0, 0) // the clock runs backwards
		all = append(all, publish(t, d, cut).GetBackupId())
	}
	release := d.Use(table, all[0])
	other := d.Use(table, all[0])
	defer d.Use(table, all[5])()
	must(t, disk.mem.MkdirAll(disk.PathJoin(dir, ".pending-remove-000003_2026-02-11T12-00-00Z"), 0o755))

	_, err := d.Retain(table, backup.Policy{}, noon)
	wantIs(t, err, messages.ErrInvalid)
	if ids, _ := complete(t, disk, dir); len(ids) != 6 {
		t.Fatalf("a refused policy left %v", ids)
	}
	retain := func(want ...string) {
		t.Helper()
		policy := backup.Policy{Keep: 1, Lineages: []string{lineageA, lineageB}}
		decisions, err := d.Retain(table, policy, noon)
		must(t, err)
		var kept []string
		for _, decision := range slices.Backward(decisions) {
			if decision.GetTable() != table || len(decision.GetReasons()) == 0 {
				t.Errorf("decision %v", decision)
			}
			if decision.GetBackupId() == all[5] && !slices.Contains(decision.GetReasons(), "being read") {
				t.Errorf("decision %v does not say that the backup is being read", decision)
			}
			if decision.GetKeep() {
				kept = append(kept, decision.GetBackupId())
			}
		}
		ids, pending := complete(t, disk, dir)
		if !slices.Equal(ids, want) || !slices.Equal(kept, want) || len(pending) > 0 {
			t.Errorf("left %v and %v, said %v, want %v", ids, pending, kept, want)
		}
	}
	retain(all[0], all[2], all[5])
	release()
	release()
	retain(all[0], all[2], all[5])
	other()
	retain(all[2], all[5])
	// What was linked from a removed backup is still whole.
	must(t, checkBackup(disk.mem, disk.PathJoin(dir, all[2]), a.at))
	must(t, checkBackup(disk.mem, disk.PathJoin(dir, all[5]), b.at))
}

// TestRetainSeesALateUse: a backup that begins to be read between the decision and the removal stays.
func TestRetainSeesALateUse(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(5, 100)
	first := publish(t, d, live.cut()).GetBackupId()
	publish(t, d, live.cut())
	dir, lists := disk.PathJoin(backupsPath, table), 0
	disk.hook(func(op, path string) error {
		if op == "list" && path == dir {
			if lists++; lists == 2 { // the sweep's, after the decision
				d.Use(table, first)
			}
		}
		return nil
	}, nil)
	pruned, err := d.Prune(t.Context(), table, backup.Policy{Keep: 1}, noon, nil)
	must(t, err)
	disk.hook(nil, nil)
	decisions := pruned.Decisions
	if pruned.Freed != 0 {
		t.Errorf("freed %d B", pruned.Freed)
	}
	if last := decisions[1]; !last.GetKeep() || last.GetReasons()[0] != "being read" || lists < 2 {
		t.Errorf("decided %v after %d lists", decisions, lists)
	}
	must(t, checkBackup(disk.mem, disk.PathJoin(dir, first), live.at))
}

// TestRetainKeepsFaulty: a faulty backup stays until enough good ones are newer.
func TestRetainKeepsFaulty(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(5, 100)
	policy := backup.Policy{Keep: 2, Lineages: []string{lineageA}}
	first := publish(t, d, live.cut()).GetBackupId()
	overwrite(t, disk.mem, disk.PathJoin(backupsPath, table, first, "manifest.json"), []byte("{"))
	for newer := 1; newer <= 2; newer++ {
		publish(t, d, live.cut())
		decisions, err := d.Retain(table, policy, noon)
		must(t, err)
		if kept := exists(t, disk, disk.PathJoin(backupsPath, table, first)); kept != (newer < 2) {
			t.Errorf("kept is %v beside %d newer ones: %v", kept, newer, decisions)
		}
	}
}
