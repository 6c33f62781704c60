package backup_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// TestOtherCopysBackups: what another copy of the directory has backed up is the base of nothing, chosen for nothing and a word on
// nothing, though its lineage, positions and files are this one's. Only who names it gets it.
func TestOtherCopysBackups(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, o owned){
		"adopted": func(t *testing.T, o owned) {
			unmarked, err := o.BeginRun(ulid.Make().String(), true)
			must(t, errors.Join(unmarked, err))
		},
		"refused": func(*testing.T, owned) {},
	} {
		t.Run(name, func(t *testing.T) {
			fs := newPair(t)
			must(t, run(t, fs, one, theirs, false))
			copyDir(t, fs, one, two)
			disk := newHookFS(fs)
			live := newLive(t, disk, "/one/live", table, lineageA)
			live.put(10, 1000)

			o := opened(t, disk, two, theirs)
			unmarked, err := o.BeginRun(ulid.Make().String(), false)
			must(t, errors.Join(unmarked, err))
			other := publish(t, o.Directory, live.cut())
			must(t, o.WriteSet(&messages.BackupSet{RunId: ulid.Make().String(), CopyId: o.CopyID(), Results: []*messages.TableResult{other}}))
			o.close(t)

			// This copy has come to the very same position, with the same files.
			o = opened(t, disk, one, theirs)
			defer o.close(t)
			begin(t, o)
			listed, err := o.List(table)
			must(t, err)
			if len(listed) != 1 || !listed[0].OtherCopy || listed[0].Fault != nil {
				t.Fatalf("listed are %+v", listed)
			}
			if b, ok, err := o.Newest(table, lineageA); ok || err != nil {
				t.Errorf("newest of the lineage is %v, %v", b.ID, err)
			}
			if b, ok, err := o.NewestUsable(table); ok || err != nil {
				t.Errorf("newest usable is %v, %v", b.ID, err)
			}
			if row, err := o.CarryForward(table, live.content()); row != nil || err != nil {
				t.Errorf("carried forward: %v, %v", row, err)
			}
			_, passed, err := o.Choose(table, backup.Choice{})
			if !errors.Is(err, messages.ErrNotFound) || !strings.Contains(strings.Join(messages.Hints(err), " "), "name it") || len(passed) != 1 {
				t.Errorf("choose: %v, hints %q, passed over %q", err, messages.Hints(err), passed)
			}
			if b, _, err := o.Choose(table, backup.Choice{ID: other.GetBackupId()}); err != nil || b.ID != other.GetBackupId() {
				t.Errorf("choose by name: %v", err)
			}
			sets, err := o.Sets()
			must(t, err)
			if own := o.OwnSets(sets); len(own) != 0 {
				t.Errorf("own sets are %v", own)
			}
			if status, err := o.SetStatuses(sets); err != nil || !status[0].GetOtherCopy() {
				t.Errorf("status of the set is %v, %v", status, err)
			}
			if name == "refused" {
				return
			}
			own := publish(t, o.Directory, live.cut())
			if own.GetCopiedBytes() != own.GetBytes() {
				t.Errorf("%d B of %d B were copied, the others were linked", own.GetCopiedBytes(), own.GetBytes())
			}
			if b, ok, err := o.NewestUsable(table); !ok || err != nil || b.ID != own.GetBackupId() || b.Manifest.GetCopyId() != o.CopyID() {
				t.Errorf("newest usable is %v, %v", b, err)
			}
			if row, err := o.CarryForward(table, live.content()); row.GetBackupId() != own.GetBackupId() || err != nil {
				t.Errorf("carried forward: %v, %v", row, err)
			}
			decisions, err := o.Retain(table, backup.Policy{Keep: 1, Lineages: []string{lineageA}}, noon)
			must(t, err)
			if len(decisions) != 2 || !decisions[1].GetKeep() || !strings.Contains(strings.Join(decisions[1].GetReasons(), "; "), "made by another copy") {
				t.Errorf("decided %v", decisions)
			}
		})
	}
}

// TestRetentionKeepsEachCopy: the newest and the newest proven backup of each copy of a directory stay, whatever the others have.
func TestRetentionKeepsEachCopy(t *testing.T) {
	list := candidates(t, "9 L", "8 L", "7 L", "6 L proven", "5 L", "4 L", "3 L proven", "2 L", "1 L red")
	for i := range list {
		if list[i].Number <= 5 {
			list[i].CopyID, list[i].OtherCopy = "other", true
		}
	}
	list[len(list)-1].CopyID = "third"
	decided, err := backup.Decide(list, backup.Policy{Keep: 1, Lineages: []string{"L"}}, noon)
	must(t, err)
	kept := ""
	for _, line := range show(decided) {
		if id, ok := strings.CutPrefix(line, "keep "); ok {
			kept += id[:1]
		}
	}
	if kept != "96531" {
		t.Errorf("kept are %s:\n%s", kept, strings.Join(show(decided), "\n"))
	}
	for _, d := range decided {
		if other := d.ID <= "5"; other != strings.Contains(strings.Join(d.Reasons, "; "), "made by another copy") {
			t.Errorf("reasons of %s are %q", d.ID, d.Reasons)
		}
	}
}
