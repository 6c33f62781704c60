package backup_test

import (
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

func TestSets(t *testing.T) {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	if sets, err := d.Sets(); len(sets) > 0 || err != nil {
		t.Errorf("sets are %v, %v", sets, err)
	}
	var want []*messages.BackupSet
	for i := range 3 {
		set := &messages.BackupSet{
			FormatVersion: store.FormatVersion, StoreId: testStore, RunId: ulid.MustNew(uint64(1000+i), nil).String(),
			Label: "nightly", Started: timestamppb.New(noon), Finished: timestamppb.New(noon),
			Results: []*messages.TableResult{{
				Table: table, Outcome: messages.Outcome_OUTCOME_FAILED,
				Failure: messages.Failf(messages.Code_CODE_UNAVAILABLE, "quarantined"),
			}},
		}
		want = append(want, set)
	}
	// Written out of order: the run id orders, not the time of writing.
	for _, i := range []int{1, 2, 0} {
		must(t, d.WriteSet(want[i]))
	}
	again := proto.CloneOf(want[1])
	again.Label = "forged"
	wantIs(t, d.WriteSet(again), os.ErrExist)
	for _, id := range []string{"", "../../evil", "01j9"} {
		wantIs(t, d.WriteSet(&messages.BackupSet{RunId: id}), messages.ErrInvalid)
	}
	// What cannot be used is left out.
	sets := disk.PathJoin(backupsPath, "sets")
	for name, content := range map[string]string{
		"01J9ZZZZZZZZZZZZZZZZZZZZZ1.json":       `{"runId": "01J9`,
		"01J9ZZZZZZZZZZZZZZZZZZZZZ2.json":       `{"runId": "01J9ZZZZZZZZZZZZZZZZZZZZZ2", "formatVersion": 99}`,
		"01J9ZZZZZZZZZZZZZZZZZZZZZ3.json":       `{"runId": "01J9ZZZZZZZZZZZZZZZZZZZZZ9"}`,
		"01J9ZZZZZZZZZZZZZZZZZZZZZ4.json.aside": `{"runId": "01J9ZZZZZZZZZZZZZZZZZZZZZ4"}`,
	} {
		overwrite(t, disk.mem, disk.PathJoin(sets, name), []byte(content))
	}
	got, err := d.Sets()
	must(t, err)
	if len(got) != 3 {
		t.Fatalf("sets are %v", got)
	}
	for i := range got {
		if !proto.Equal(got[i], want[2-i]) {
			t.Errorf("set %d is %v, want %v", i, got[i], want[2-i])
		}
	}
}

// TestSetSurvivesCrash: after every operation there is no set or the whole one, and once WriteSet returned
// it stays.
func TestSetSurvivesCrash(t *testing.T) {
	rng := newRand(t)
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	set := &messages.BackupSet{RunId: ulid.Make().String(), Label: "nightly"}
	check := func(want bool) {
		for _, percent := range []int{0, 50, 100} {
			clone := disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			after, err := backup.Open(backup.Options{FS: clone, Path: backupsPath, StoreID: testStore})
			must(t, err)
			sets, err := after.Sets()
			must(t, err)
			if want && len(sets) != 1 || len(sets) > 0 && sets[0].GetLabel() != "nightly" {
				t.Errorf("sets are %v", sets)
			}
			if files, err := clone.List(backupsPath + "/sets"); err == nil && len(files) != len(sets) {
				t.Errorf("files are %v", files)
			}
			must(t, after.Close())
		}
	}
	disk.hook(nil, func(op, _ string) {
		if mutates(op) {
			check(false)
		}
	})
	must(t, d.WriteSet(set))
	disk.hook(nil, nil)
	check(true)
	if set.GetStoreId() != "" {
		t.Error("WriteSet changed its argument")
	}
}
