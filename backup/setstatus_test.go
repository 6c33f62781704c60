package backup_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

func setOf(n int, results ...*messages.TableResult) *messages.BackupSet {
	return &messages.BackupSet{RunId: ulid.MustNew(uint64(1000+n), nil).String(), Results: results}
}

func failedRow(table string) *messages.TableResult {
	return &messages.TableResult{Table: table, Outcome: messages.Outcome_OUTCOME_FAILED,
		Failure: messages.Failf(messages.Code_CODE_UNAVAILABLE, "quarantined")}
}

func TestSetStatus(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	live.put(5, 10)
	first := publish(t, d, live.cut())
	live.put(5, 10)
	second := publish(t, d, live.cut())
	other := second
	live.close()
	missing := &messages.TableResult{Table: "other", Outcome: messages.Outcome_OUTCOME_CARRIED_FORWARD, BackupId: first.GetBackupId()}
	forged := &messages.TableResult{Table: table, Outcome: messages.Outcome_OUTCOME_BACKED_UP, BackupId: first.GetBackupId(),
		ManifestSha256: strings.Repeat("0", 64)}
	for _, test := range []struct {
		set          *messages.BackupSet
		want         messages.SetState
		failed, gone []string
	}{
		{setOf(1, first), messages.SetState_SET_STATE_COMPLETE, nil, nil},
		{setOf(2, other), messages.SetState_SET_STATE_COMPLETE, nil, nil},
		{setOf(3, first, failedRow("other")), messages.SetState_SET_STATE_PARTIAL, []string{"other"}, nil},
		{setOf(4, missing, first), messages.SetState_SET_STATE_THINNED, nil, []string{"other"}},
		{setOf(5, forged), messages.SetState_SET_STATE_THINNED, nil, []string{table}},
		{setOf(6, missing, failedRow("c")), messages.SetState_SET_STATE_THINNED, []string{"c"}, []string{"other"}},
		{setOf(7, &messages.TableResult{Table: "../x", BackupId: "y"}), messages.SetState_SET_STATE_THINNED, nil, []string{"../x"}},
		{setOf(8), messages.SetState_SET_STATE_COMPLETE, nil, nil},
	} {
		statuses, err := d.SetStatuses([]*messages.BackupSet{test.set})
		must(t, err)
		got := statuses[0]
		if got.GetState() != test.want || !slices.Equal(got.GetFailed(), test.failed) || !slices.Equal(got.GetGone(), test.gone) ||
			got.GetRunId() != test.set.GetRunId() {
			t.Errorf("status of %v is %v, want %v, failed %v, gone %v", test.set, got, test.want, test.failed, test.gone)
		}
	}
	// A manifest that was changed is another backup.
	overwrite(t, disk.mem, disk.PathJoin(backupsPath, table, first.GetBackupId(), "manifest.json"), []byte("{}"))
	statuses, err := d.SetStatuses([]*messages.BackupSet{setOf(1, first), setOf(2, second)})
	must(t, err)
	if statuses[0].GetState() != messages.SetState_SET_STATE_THINNED || statuses[1].GetState() != messages.SetState_SET_STATE_COMPLETE {
		t.Errorf("statuses are %v", statuses)
	}
}

func runIDs(t *testing.T, d *backup.Directory) (ids []string) {
	t.Helper()
	sets, err := d.Sets()
	must(t, err)
	for _, set := range slices.Backward(sets) {
		ids = append(ids, set.GetRunId())
	}
	return ids
}

// TestRetainSets: a set goes when none of its backups is left; a failed run among those that have one stays; the newest
// stays, and what cannot be read.
func TestRetainSets(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	var rows []*messages.TableResult
	for range 4 {
		live.put(5, 10)
		rows = append(rows, publish(t, d, live.cut()))
	}
	live.close()
	sets := []*messages.BackupSet{
		setOf(0, failedRow(table)),
		setOf(1, rows[0]),
		setOf(2, rows[0], failedRow("other")),
		setOf(3, rows[1], failedRow("other")),
		setOf(4, failedRow(table)),
		setOf(5, rows[2]),
		setOf(6, rows[3]),
		setOf(7, failedRow(table)),
	}
	for _, set := range sets {
		must(t, d.WriteSet(set))
	}
	id := func(n int) string { return sets[n].GetRunId() }
	retain := func(keep int, removed []string, left ...string) {
		t.Helper()
		foreseen, err := d.Foresee(t.Context(), table, backup.Policy{Keep: keep}, noon, nil)
		must(t, err)
		goes, err := d.ForeseeSets(foreseen.Decisions)
		must(t, err)
		_, err = d.Retain(table, backup.Policy{Keep: keep}, noon)
		must(t, err)
		got, err := d.RetainSets()
		must(t, err)
		if !slices.Equal(got, removed) || !slices.Equal(goes, removed) {
			t.Errorf("removed %v, foresaw %v, want %v", got, goes, removed)
		}
		if got := runIDs(t, d); !slices.Equal(got, left) {
			t.Errorf("left %v, want %v", got, left)
		}
	}
	retain(4, []string{id(0)}, id(1), id(2), id(3), id(4), id(5), id(6), id(7))
	retain(3, []string{id(1), id(2)}, id(3), id(4), id(5), id(6), id(7))
	retain(2, []string{id(3), id(4)}, id(5), id(6), id(7))
	overwrite(t, disk.mem, disk.PathJoin(backupsPath, "sets", id(0)+".json"), []byte("{"))
	must(t, disk.mem.RemoveAll(disk.PathJoin(backupsPath, table)))
	retain(1, []string{id(5), id(6)}, id(7))
	if !exists(t, disk, disk.PathJoin(backupsPath, "sets", id(0)+".json")) {
		t.Error("a set that cannot be read is gone")
	}

	// Where the backups cannot be listed, nothing goes.
	must(t, d.WriteSet(setOf(8, rows[0])))
	must(t, d.WriteSet(setOf(9, rows[0])))
	disk.hook(func(op, path string) error {
		if op == "list" && strings.HasSuffix(path, "/"+table) {
			return errInjected
		}
		return nil
	}, nil)
	if got, err := d.RetainSets(); !errors.Is(err, errInjected) || len(got) > 0 {
		t.Errorf("removed %v, %v", got, err)
	}
	disk.hook(nil, nil)
	if got := runIDs(t, d); len(got) != 3 {
		t.Errorf("left %v", got)
	}
}

// TestRetainSetsIsDurable: after a crash at any instant the newest set is there, and once RetainSets returned, what went
// stays away.
func TestRetainSetsIsDurable(t *testing.T) {
	rng := newRand(t)
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	gone := &messages.TableResult{Table: table, Outcome: messages.Outcome_OUTCOME_BACKED_UP, BackupId: "000001_2026-02-11T12-00-00Z"}
	for n := range 4 {
		must(t, d.WriteSet(setOf(n, gone)))
	}
	check := func(most int) {
		t.Helper()
		for _, percent := range []int{0, 50, 100} {
			clone := disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			after := openDir(t, clone, backupsPath)
			left := runIDs(t, after)
			if len(left) == 0 || len(left) > most || left[len(left)-1] != setOf(3).GetRunId() {
				t.Errorf("after a crash %v are left", left)
			}
			must(t, after.Close())
		}
	}
	disk.hook(nil, func(op, _ string) {
		if mutates(op) {
			check(4)
		}
	})
	removed, err := d.RetainSets()
	must(t, err)
	disk.hook(nil, nil)
	if len(removed) != 3 {
		t.Errorf("removed %v", removed)
	}
	check(1)
	wantIs(t, openReadOnlyRetain(t, d), backup.ErrReadOnly)
}

// openReadOnlyRetain opens the directory of d read-only and retains its sets.
func openReadOnlyRetain(t *testing.T, d *backup.Directory) error {
	t.Helper()
	must(t, d.Close())
	disk := newDisk(t)
	must(t, openDir(t, disk, backupsPath).Close())
	readOnly, err := backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore, ReadOnly: true})
	must(t, err)
	defer func() { must(t, readOnly.Close()) }()
	_, err = readOnly.ForeseeSets(nil)
	must(t, err)
	_, err = readOnly.RetainSets()
	return err
}
