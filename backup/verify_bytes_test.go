package backup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// TestEveryByteCounts: a backup is red when any bit of any of its files differs, when a file has a byte more or less,
// and beside a file too many. Of files up to exhaustive bytes every byte has its turn.
func TestEveryByteCounts(t *testing.T) {
	const exhaustive, sampled = 4 << 10, 60
	rng := newRand(t)
	disk, d, _, ids := pairOnDisk(t)
	must(t, d.Close())
	// Read-only, no verdict is kept: each judges the bytes alone.
	d, err := backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore, ReadOnly: true})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	id := ids[0]
	dir := disk.PathJoin(backupsPath, table, id)
	want := func(verdict messages.Verdict, what string, args ...any) {
		t.Helper()
		v, err := d.Verify(t.Context(), table, id, backup.VerifyOptions{})
		must(t, err)
		if v.Proof.GetVerdict() != verdict {
			t.Fatalf(what+": %v, want %v", append(args, v.Proof.GetVerdict(), verdict)...)
		}
	}
	want(messages.Verdict_VERDICT_PROVEN, "as it was made")
	var names []string
	for _, in := range []string{"", "db"} {
		inside, err := disk.mem.List(disk.PathJoin(dir, in))
		must(t, err)
		for _, name := range inside {
			if name != "db" {
				names = append(names, disk.PathJoin(in, name))
			}
		}
	}
	flips := 0
	for _, name := range names {
		path := disk.PathJoin(dir, name)
		data, err := store.ReadFile(disk.mem, path)
		must(t, err)
		offsets := make([]int, len(data))
		for i := range offsets {
			offsets[i] = i
		}
		if len(data) > exhaustive {
			offsets = []int{0, len(data) - 1}
			for range sampled {
				offsets = append(offsets, rng.IntN(len(data)))
			}
		}
		for _, at := range offsets {
			flips++
			bad := slices.Clone(data)
			bad[at] ^= 1 << rng.IntN(8)
			overwrite(t, disk.mem, path, bad)
			want(messages.Verdict_VERDICT_RED, "%s with another bit in byte %d", name, at)
		}
		overwrite(t, disk.mem, path, append(slices.Clone(data), byte(rng.IntN(256))))
		want(messages.Verdict_VERDICT_RED, "%s with a byte more", name)
		if len(data) > 0 {
			overwrite(t, disk.mem, path, data[:len(data)-1])
			want(messages.Verdict_VERDICT_RED, "%s with a byte less", name)
			overwrite(t, disk.mem, path, nil)
			want(messages.Verdict_VERDICT_RED, "%s without content", name)
		}
		overwrite(t, disk.mem, path, data)
	}
	if flips < 1000 {
		t.Errorf("only %d flips", flips)
	}
	for _, stray := range []string{"notes.txt", ".DS_Store", "db/000999.sst", "db/MANIFEST-000999", "db/CURRENT.dbtmp", "db/LOCK"} {
		overwrite(t, disk.mem, disk.PathJoin(dir, stray), []byte("x"))
		want(messages.Verdict_VERDICT_RED, "with %s", stray)
		must(t, disk.mem.Remove(disk.PathJoin(dir, stray)))
	}
	for _, stray := range []string{"more", "db/archive", "db/LOCK"} {
		must(t, disk.mem.MkdirAll(disk.PathJoin(dir, stray), 0o755))
		want(messages.Verdict_VERDICT_RED, "with a directory %s", stray)
		must(t, disk.mem.RemoveAll(disk.PathJoin(dir, stray)))
	}
	overwrite(t, disk.mem, disk.PathJoin(dir, "db/LOCK"), nil) // Pebble leaves one where somebody looks with Pebble
	want(messages.Verdict_VERDICT_PROVEN, "as it was")
}

// TestEveryByteOfItsNameCounts: a backup under the name of another time, which no run gave it, is none.
func TestEveryByteOfItsNameCounts(t *testing.T) {
	disk, d, _, ids := pairOnDisk(t)
	must(t, d.Close())
	d, err := backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore, ReadOnly: true})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	in := disk.PathJoin(backupsPath, table)
	for i := range ids[0] {
		for _, bit := range []byte{1, 2, 4} {
			name := []byte(ids[0])
			name[i] ^= bit
			other := string(name)
			if strings.Contains(other, "/") {
				continue
			}
			must(t, disk.mem.Rename(disk.PathJoin(in, ids[0]), disk.PathJoin(in, other)))
			v, err := d.Verify(t.Context(), table, other, backup.VerifyOptions{})
			if err == nil && v.Proof.GetVerdict() != messages.Verdict_VERDICT_RED {
				t.Errorf("%s as %s: %v", ids[0], other, v.Proof)
			}
			must(t, disk.mem.Rename(disk.PathJoin(in, other), disk.PathJoin(in, ids[0])))
		}
	}
	v, err := d.Verify(t.Context(), table, ids[0], backup.VerifyOptions{})
	must(t, err)
	if v.Proof.GetVerdict() != messages.Verdict_VERDICT_PROVEN {
		t.Errorf("by its own name: %v", v.Proof)
	}
}
