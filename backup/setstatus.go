package backup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// SetStatus says what is left of a set. It is given the hash of the manifest of each backup on disk, by table and backup
// id: empty where the manifest cannot be read.
func SetStatus(set *messages.BackupSet, onDisk map[string]map[string]string) *messages.SetStatus {
	status := &messages.SetStatus{RunId: set.GetRunId(), State: messages.SetState_SET_STATE_COMPLETE}
	for _, result := range set.GetResults() {
		if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
			status.Failed = append(status.Failed, result.GetTable())
			continue
		}
		hash, there := onDisk[result.GetTable()][result.GetBackupId()]
		switch {
		case there && hash == "":
			status.Unread = append(status.Unread, result.GetTable())
		case !there || hash != result.GetManifestSha256():
			status.Gone = append(status.Gone, result.GetTable())
		}
	}
	switch {
	case len(status.GetGone()) > 0:
		status.State = messages.SetState_SET_STATE_THINNED
	case len(status.GetUnread()) > 0:
		status.State = messages.SetState_SET_STATE_UNKNOWN
	case len(status.GetFailed()) > 0:
		status.State = messages.SetState_SET_STATE_PARTIAL
	}
	return status
}

// SetStatuses says what is left of each of the sets. It reads the manifests of all their tables.
func (d *Directory) SetStatuses(sets []*messages.BackupSet) ([]*messages.SetStatus, error) {
	onDisk := map[string]map[string]string{}
	statuses := make([]*messages.SetStatus, len(sets))
	for i, set := range sets {
		for _, result := range set.GetResults() {
			table := result.GetTable()
			if onDisk[table] != nil || messages.CheckTableName(table) != nil {
				continue
			}
			ids, err := d.ids(table)
			if err != nil {
				return nil, fmt.Errorf("judge sets: %w", err)
			}
			onDisk[table] = make(map[string]string, len(ids))
			for _, id := range ids {
				onDisk[table][id] = d.read(table, id).ManifestSHA256
			}
		}
		statuses[i] = SetStatus(set, onDisk)
		statuses[i].OtherCopy = len(d.OwnSets([]*messages.BackupSet{set})) == 0
	}
	return statuses, nil
}

// RetainSets removes the sets of which no backup lies on disk any more, oldest first, and returns their run ids, also
// beside an error. The newest set stays, and one that cannot be read. A run that backed nothing up goes once no older
// set has a backup left, so that a list of sets has no holes.
//
// A crash may leave any of those that were to go. Nothing is removed when the backups cannot be listed.
func (d *Directory) RetainSets() ([]string, error) {
	removed, err := d.retainSets()
	if err != nil {
		err = fmt.Errorf("retain sets: %w", err)
	}
	return removed, err
}

// ForeseeSets returns what RetainSets would remove once the backups are gone that decisions do not keep. It changes
// nothing.
func (d *Directory) ForeseeSets(decisions []*messages.RetentionDecision) ([]string, error) {
	d.sets.Lock()
	defer d.sets.Unlock()
	gone, err := d.emptySets(decisions)
	if err != nil {
		err = fmt.Errorf("foresee sets: %w", err)
	}
	return gone, err
}

func (d *Directory) retainSets() (removed []string, err error) {
	if err := d.begin(); err != nil {
		return nil, err
	}
	defer d.end()
	d.sets.Lock()
	defer d.sets.Unlock()
	gone, err := d.emptySets(nil)
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	var errs []error
	for _, runID := range gone {
		if err := d.fs.Remove(d.setPath(runID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove set: %w", err))
			break // the older ones go first
		}
		removed = append(removed, runID)
	}
	errs = append(errs, store.SyncDir(d.fs, d.fs.PathJoin(d.path, setsDir)))
	return removed, errors.Join(errs...)
}

// emptySets returns the run ids of the sets that go, oldest first, as if what decisions do not keep were gone.
func (d *Directory) emptySets(decisions []*messages.RetentionDecision) ([]string, error) {
	newest, err := d.NewestRun()
	if err != nil {
		return nil, err
	}
	names, err := d.listOwn(d.fs.PathJoin(d.path, setsDir))
	if err != nil {
		return nil, err
	}
	there := onDisk{d: d, ids: map[string][]string{}, going: map[string]bool{}}
	for _, decision := range decisions {
		if !decision.GetKeep() {
			there.going[decision.GetTable()+"/"+decision.GetBackupId()] = true
		}
	}
	var gone []string
	left := false // an older set has a backup left
	for _, name := range names {
		runID, ok := strings.CutSuffix(name, setSuffix)
		if !ok || runID == newest {
			continue
		}
		set, err := d.readSet(runID)
		if err != nil {
			left = true // fails closed; Sets warns of it
			continue
		}
		made, has, err := there.left(set)
		if err != nil {
			return nil, err
		}
		switch {
		case has:
			left = true
		case made || !left:
			gone = append(gone, runID)
		}
	}
	return gone, nil
}

// onDisk are the backups that lie on disk, read table by table, less those that go.
type onDisk struct {
	d     *Directory
	ids   map[string][]string // by table
	going map[string]bool     // by table/id
}

// left tells whether a run made any backup, and whether one of them lies on disk.
func (o onDisk) left(set *messages.BackupSet) (made, has bool, err error) {
	for _, result := range set.GetResults() {
		table := result.GetTable()
		if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
			continue
		}
		made = true
		if messages.CheckTableName(table) != nil {
			has = true // fails closed
			continue
		}
		ids, known := o.ids[table]
		if !known {
			if ids, err = o.d.ids(table); err != nil {
				return false, false, err
			}
			o.ids[table] = ids
		}
		id := result.GetBackupId()
		has = has || slices.Contains(ids, id) && !o.going[table+"/"+id]
	}
	return made, has, nil
}
