package backup_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestReadersReadAtOnce: from any number of goroutines, while the table goes on and retention waits.
func TestReadersReadAtOnce(t *testing.T) {
	disk, d, live, ids := pairOnDisk(t)
	want := map[string]string{}
	for key, value := range live.rows {
		if key < "key00001010" {
			want[key] = value
		}
	}
	r, err := d.OpenBackup(table, "1", false)
	must(t, err)
	if r.Backup.ID != ids[0] || !r.ReadOnly() || len(want) != 80 {
		t.Errorf("opened %s, %d rows", r.Backup.ID, len(want))
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for key, value := range want {
				if got, found, err := r.Get([]byte(key)); err != nil || !found || string(got) != value {
					t.Errorf("key %q: %q, %v, %v", key, got, found, err)
				}
			}
			if _, found, err := r.Get([]byte("key00001015")); found || err != nil {
				t.Errorf("a later row: %v, %v", found, err)
			}
			sameRows(t, rowsOf(t, r.Store), want)
		})
	}
	live.put(0, 60, 10)
	live.flush()
	retain := func() int {
		_, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
		must(t, err)
		left, err := d.List(table)
		must(t, err)
		return len(left)
	}
	if left := retain(); left != 2 {
		t.Errorf("retention left %d beside a reader", left)
	}
	group.Wait()
	must(t, r.Close())
	must(t, r.Close())
	if _, _, err := r.Get([]byte("key")); err == nil {
		t.Error("read after Close")
	}
	if exists(t, disk, disk.PathJoin(r.Backup.Path, "db", "LOCK")) {
		t.Error("Pebble's lock file was made")
	}
	if left := retain(); left != 1 {
		t.Errorf("retention left %d after the reader", left)
	}
	_, err = d.OpenBackup(table, "1", false)
	wantIs(t, err, messages.ErrNotFound)
}

// TestRefusedReaders hold nothing: neither the backup nor a file.
func TestRefusedReaders(t *testing.T) {
	disk, d, _, ids := pairOnDisk(t)
	must(t, disk.mem.Remove(disk.PathJoin(backupsPath, table, ids[0], "manifest.sha256")))
	names, err := disk.mem.List(disk.PathJoin(backupsPath, table, ids[1], "db"))
	must(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest") {
			must(t, disk.mem.Remove(disk.PathJoin(backupsPath, table, ids[1], "db", name)))
		}
	}
	for _, id := range ids {
		if _, err := d.OpenBackup(table, id, true); err == nil {
			t.Errorf("opened %s", id)
		} else if id == ids[1] {
			wantIs(t, err, messages.ErrDataLoss)
		}
	}
	decisions, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
	must(t, err)
	for _, decision := range decisions {
		if slices.Contains(decision.GetReasons(), "being read") {
			t.Errorf("still held: %v", decision)
		}
	}
}

// TestReadersOfDamage: whatever is wrong with a block, reading it is an error or right, and Close works.
func TestReadersOfDamage(t *testing.T) {
	rng := newRand(t)
	disk, d, live, ids := pairOnDisk(t)
	dir := disk.PathJoin(backupsPath, table, ids[1], "db")
	names, err := disk.mem.List(dir)
	must(t, err)
	slices.Sort(names)
	errs := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := disk.PathJoin(dir, name)
		sound, err := store.ReadFile(disk.mem, path)
		must(t, err)
		for range 20 {
			data := slices.Clone(sound)
			at := rng.IntN(len(data))
			for i := at; i < min(len(data), at+1+rng.IntN(200)); i++ {
				data[i] = byte(rng.Uint32())
			}
			f, err := disk.mem.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.WriteAt(data, 0)
			must(t, err)
			must(t, f.Close())
			r, err := d.OpenBackup(table, ids[1], true)
			if err != nil {
				errs++
				continue
			}
			for key, value := range live.rows {
				got, found, err := r.Get([]byte(key))
				if err == nil && (!found || string(got) != value) {
					t.Errorf("%s, from byte %d: key %q: %v", name, at, key, found)
				}
			}
			for _, err := range scanOf(t, r.Store) {
				if err != nil {
					errs++
					if text := fmt.Sprint(err); strings.Contains(text, "panicked") {
						t.Logf("%s, from byte %d: %v", name, at, err)
					} else {
						wantIs(t, err, messages.ErrDataLoss)
					}
				}
			}
			must(t, r.Close())
		}
		overwrite(t, disk.mem, path, sound)
	}
	if errs < 10 {
		t.Errorf("%d errors", errs)
	}
}
