package backup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/backup"
)

// TestPublishSurvivesFaults injects an error into every file operation of a Publish, reads included: one
// error alone, and a disk that fails from there on.
func TestPublishSurvivesFaults(t *testing.T) {
	for _, dead := range []bool{false, true} {
		for _, earlier := range []int{0, 1} {
			t.Run(fmt.Sprintf("dead=%v,earlier=%d", dead, earlier), func(t *testing.T) {
				failed := 0
				for at := 0; publishWithFault(t, at, dead, earlier, &failed); at++ {
					if t.Failed() {
						t.Fatalf("at operation %d", at)
					}
				}
				if failed < 40 {
					t.Errorf("only %d faults made a publish fail", failed)
				}
			})
		}
	}
}

// publishWithFault makes one more backup beside the earlier ones, with a fault; false when the Publish had
// fewer operations.
func publishWithFault(t *testing.T, at int, dead bool, earlier int, failed *int) bool {
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := newLive(t, disk.mem, "/data", table, lineageA)
	for range earlier {
		live.put(10, 100)
		publish(t, d, live.cut())
	}
	live.put(10, 100)
	cut := live.cut()
	live.close()
	ops, hit := 0, ""
	disk.hook(func(op, path string) error {
		defer func() { ops++ }()
		if ops == at || dead && ops > at {
			if hit == "" {
				hit = op + " " + path
			}
			return errInjected
		}
		return nil
	}, nil)
	result, err := d.Publish(context.Background(), cut, nil)
	disk.hook(nil, nil)
	if hit == "" {
		must(t, err)
		return false
	}

	dir := disk.PathJoin(backupsPath, table)
	ids, pending := complete(t, disk, dir)
	for _, id := range ids {
		if err := checkBackup(disk.mem, disk.PathJoin(dir, id), live.at); err != nil {
			t.Errorf("%s: complete name: %v", hit, err)
		}
	}
	switch {
	case err == nil && len(ids) != earlier+1:
		t.Errorf("%s: published %v, but there are %v", hit, result, ids)
	case err != nil && !errors.Is(err, errInjected):
		t.Errorf("%s: error hides its cause: %v", hit, err)
	case err != nil && !dead && (len(ids) != earlier || len(pending) > 0 || exists(t, disk, cut.Staging)):
		t.Errorf("%s: left %v, %v or the staging", hit, ids, pending)
	}
	if err != nil {
		*failed++
	}
	if err == nil && exists(t, disk, cut.Staging) && !strings.Contains(hit, cut.Staging) {
		t.Errorf("%s: left the staging", hit)
	}
	must(t, d.Close())
	openDir(t, disk, backupsPath)
	if _, pending = complete(t, disk, dir); len(pending) > 0 {
		t.Errorf("%s: the sweep left %v", hit, pending)
	}
	return true
}

// TestRetainSurvivesFaults: a removal that fails is reported, with the decisions, and leaves no name over
// half of a backup.
func TestRetainSurvivesFaults(t *testing.T) {
	for at := 0; ; at++ {
		disk := newDisk(t)
		d := openDir(t, disk, backupsPath)
		live := newLive(t, disk.mem, "/data", table, lineageA)
		live.put(10, 100)
		for range 3 {
			publish(t, d, live.cut())
		}
		live.close()
		ops, hit := 0, ""
		disk.hook(func(op, path string) error {
			defer func() { ops++ }()
			if ops == at {
				hit = op + " " + path
				return errInjected
			}
			return nil
		}, nil)
		decisions, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
		disk.hook(nil, nil)
		if hit == "" {
			if at < 20 {
				t.Errorf("only %d operations", at)
			}
			return
		}
		dir := disk.PathJoin(backupsPath, table)
		ids, _ := complete(t, disk, dir)
		for _, id := range ids {
			if err := checkBackup(disk.mem, disk.PathJoin(dir, id), live.at); err != nil {
				t.Errorf("%s: complete name: %v", hit, err)
			}
		}
		switch {
		case at < 7: // the check of the directory, the lists of backups and pins
			if err == nil || decisions != nil || len(ids) != 3 {
				t.Errorf("%s: decided %v with error %v, left %v", hit, decisions, err, ids)
			}
		case len(decisions) != 3:
			t.Errorf("%s: decided %v, %v", hit, decisions, err)
		case len(ids) == 0 || ids[len(ids)-1][:6] != "000003":
			t.Errorf("%s: the newest is gone, left are %v", hit, ids)
		}
		if _, err := d.Retain(table, backup.Policy{Keep: 1}, noon); err != nil {
			t.Errorf("%s: the next one: %v", hit, err)
		}
		ids, pending := complete(t, disk, dir)
		if len(ids) != 1 || len(pending) > 0 {
			t.Errorf("%s: the next one left %v, %v", hit, ids, pending)
		}
	}
}
