package backup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// pairOnDisk publishes two backups that share sstables, on a memory disk.
func pairOnDisk(t *testing.T) (*hookFS, *backup.Directory, *servedTable, []string) {
	t.Helper()
	disk := newDisk(t)
	d := openDir(t, disk, backupsPath)
	live := serveTable(t, disk.mem, "/data", messages.Accounting_ACCOUNTING_EXACT)
	live.put(0, 60, 300)
	live.compact()
	live.put(100, 110, 100)
	live.flush()
	live.put(1000, 1010, 20)
	ids := []string{publish(t, d, live.cut()).GetBackupId()}
	live.put(1010, 1020, 20)
	return disk, d, live, append(ids, publish(t, d, live.cut()).GetBackupId())
}

// verifyOrRestore does either, into /data/to.
func verifyOrRestore(t *testing.T, d *backup.Directory, disk *hookFS, id string, restore bool, o backup.VerifyOptions) (*messages.Proof, error) {
	t.Helper()
	if !restore {
		v, err := d.Verify(t.Context(), table, id, o)
		return v.Proof, err
	}
	b, err := d.Find(table, id)
	if err != nil {
		return nil, err
	}
	return d.Restore(t.Context(), b, disk.PathJoin("/data", "to"), o)
}

// TestVerifyUnderFaults fails each operation of a Verify and of a Restore once. Too many open files are nobody's fault, and
// leave no verdict. What exists and cannot be read makes a backup red, but not where the copy is what cannot be written or read.
func TestVerifyUnderFaults(t *testing.T) {
	for i, fault := range []syscall.Errno{syscall.EMFILE, syscall.EIO, syscall.EMFILE, syscall.EIO} {
		for _, restore := range []bool{false, true} {
			o := backup.VerifyOptions{Workers: i / 2 * 3}
			t.Run(fmt.Sprintf("%v,restore=%v,workers=%d", fault, restore, o.Workers), func(t *testing.T) {
				disk, d, _, ids := pairOnDisk(t)
				id := ids[1]
				red, failed := 0, 0
				for at := 0; ; at++ {
					must(t, disk.mem.RemoveAll("/data/to"))
					must(t, disk.mem.MkdirAll("/data/to", 0o755))
					must(t, disk.mem.RemoveAll(disk.PathJoin(backupsPath, table, "proofs")))
					var mu sync.Mutex
					ops, hit := 0, ""
					disk.hook(func(op, path string) error {
						mu.Lock()
						defer mu.Unlock()
						defer func() { ops++ }()
						if ops != at {
							return nil
						}
						hit = op + " " + path
						return fault
					}, nil)
					proof, err := verifyOrRestore(t, d, disk, id, restore, o)
					disk.hook(nil, nil)
					b, found := d.Find(table, id)
					must(t, found)
					if hit == "" {
						must(t, err)
						break
					}
					inside := strings.Contains(hit, disk.PathJoin(table, id)) && !strings.Contains(hit, "/data/to") && !strings.Contains(hit, "proofs")
					switch {
					case b.Red && (fault != syscall.EIO || !inside):
						t.Errorf("%s: red: %v", hit, b.Proof)
					case b.Red:
						red++
						if !strings.HasSuffix(hit, b.Proof.GetFile()) || b.Proof.GetReason() == "" {
							t.Errorf("%s: proof %v", hit, b.Proof)
						}
					case err == nil && proof.GetVerdict() == messages.Verdict_VERDICT_UNSPECIFIED:
						t.Errorf("%s: no verdict, and no error", hit)
					case err == nil && strings.HasPrefix(hit, "read ") && inside && strings.Contains(hit, "/db/"):
						t.Errorf("%s: nobody noticed", hit)
					}
					if err != nil {
						failed++
					}
					if t.Failed() {
						t.FailNow()
					}
				}
				if failed+red < 20 || fault == syscall.EIO && red < 10 {
					t.Errorf("%d faults made it fail, %d made the backup red", failed, red)
				}
			})
		}
	}
}

// TestVerifyWithoutVerdict: who gives up, or whose disk goes away, learns nothing of the backup, and nothing is kept.
func TestVerifyWithoutVerdict(t *testing.T) {
	for i, what := range []string{"given up", "backup gone", "directory gone", "given up", "backup gone", "directory gone"} {
		for _, restore := range []bool{false, true} {
			workers := i / 3 * 3
			t.Run(fmt.Sprintf("%s,restore=%v,workers=%d", what, restore, workers), func(t *testing.T) {
				disk, d, _, ids := pairOnDisk(t)
				moved := backupsPath
				if what == "backup gone" {
					moved = disk.PathJoin(backupsPath, table, ids[0])
				}
				failed := 0
				for after, over := 0, false; !over; after++ {
					must(t, disk.mem.RemoveAll("/data/to"))
					must(t, disk.mem.MkdirAll("/data/to", 0o755))
					must(t, disk.mem.RemoveAll(disk.PathJoin(backupsPath, table, "proofs")))
					ctx, cancel := context.WithCancel(t.Context())
					calls := 0
					b, err := d.Find(table, ids[0])
					must(t, err)
					o := backup.VerifyOptions{Workers: workers, Progress: func(int64) {
						if calls++; calls != after+1 {
							return
						}
						if what == "given up" {
							cancel()
						} else {
							must(t, disk.mem.Rename(moved, "/data/gone"))
						}
					}}
					if restore {
						_, err = d.Restore(ctx, b, "/data/to", o)
					} else {
						_, err = d.Verify(ctx, table, ids[0], o)
					}
					cancel()
					over = calls <= after
					if what != "given up" && !over {
						if exists, err := store.Exists(disk.mem, moved); err != nil || exists {
							t.Errorf("after %d reports: %s was made anew, %v", after, moved, err)
						}
						must(t, disk.mem.Rename("/data/gone", moved))
					}
					if err != nil {
						failed++
						if what == "given up" {
							wantIs(t, err, context.Canceled)
						} else if !errors.Is(err, store.ErrReplaced) || what != "directory gone" {
							wantIs(t, err, messages.ErrNotFound)
						}
					}
					if b, err2 := d.Find(table, ids[0]); err2 != nil || b.Red || b.Proof != nil && err != nil {
						t.Errorf("after %d reports: %v, %v", after, b.Proof, err2)
					}
				}
				if failed < 3 {
					t.Errorf("%d failed", failed)
				}
			})
		}
	}
}
