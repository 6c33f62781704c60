package backup_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

func verify(t testing.TB, d *backup.Directory, id, by string) *messages.Proof {
	t.Helper()
	v, err := d.Verify(t.Context(), table, id, backup.VerifyOptions{By: by})
	must(t, err)
	return v.Proof
}

func verdictOf(t testing.TB, d *backup.Directory, id string) string {
	t.Helper()
	b, err := d.Find(table, id)
	must(t, err)
	return fmt.Sprint(b.Proof.GetVerdict(), " ", b.Red, " ", b.Proven())
}

const (
	unproven = "VERDICT_UNSPECIFIED false false"
	proven   = "VERDICT_PROVEN false true"
	red      = "VERDICT_RED true false"
)

// damageInPlace flips a byte of the first sstable of a backup, and returns what takes it back.
func damageInPlace(t testing.TB, disk *hookFS, id string) (undo func()) {
	t.Helper()
	dir := disk.PathJoin(backupsPath, table, id, "db")
	names, err := disk.mem.List(dir)
	must(t, err)
	slices.Sort(names)
	i := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, ".sst") })
	write := func() {
		data, err := store.ReadFile(disk.mem, disk.PathJoin(dir, names[i]))
		must(t, err)
		f, err := disk.mem.OpenReadWrite(disk.PathJoin(dir, names[i]), vfs.WriteCategoryUnspecified)
		must(t, err)
		_, err = f.WriteAt([]byte{data[len(data)/2] ^ 1}, int64(len(data)/2))
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
	}
	write()
	return write
}

// TestProofsAreAppended: the newest counts, the others stay, up to a bound.
func TestProofsAreAppended(t *testing.T) {
	disk, d, _, ids := pairOnDisk(t)
	id := ids[0]
	if got := verdictOf(t, d, id); got != unproven {
		t.Errorf("before: %s", got)
	}
	verify(t, d, id, "")
	undo := damageInPlace(t, disk, id)
	if got := verdictOf(t, d, id); got != proven {
		t.Errorf("proven: %s", got)
	}
	verify(t, d, id, "drill")
	if got := verdictOf(t, d, id); got != red {
		t.Errorf("damaged: %s", got)
	}
	undo()
	verify(t, d, id, "verify")
	if got := verdictOf(t, d, id); got != proven {
		t.Errorf("whole again: %s", got)
	}
	var story []string
	for _, p := range proofsOf(t, disk, backupsPath, id) {
		story = append(story, fmt.Sprint(p.GetBy(), " ", p.GetVerdict()))
		if p.GetFinished().AsTime().Before(p.GetStarted().AsTime()) || p.GetBytes() == 0 ||
			p.GetVerdict() == messages.Verdict_VERDICT_PROVEN && p.GetRows() != 80 {
			t.Errorf("proof %v", p)
		}
	}
	if got := strings.Join(story, ", "); got != "verify VERDICT_PROVEN, drill VERDICT_RED, verify VERDICT_PROVEN" {
		t.Errorf("proofs are %s", got)
	}
	for range 120 {
		verify(t, d, id, "drill")
	}
	proofs := proofsOf(t, disk, backupsPath, id)
	if len(proofs) != 100 || proofs[0].GetBy() != "drill" || verdictOf(t, d, id) != proven {
		t.Errorf("%d proofs are left, the first %v", len(proofs), proofs[0])
	}
}

// TestForeignProofs: what is no proof of this backup says nothing, and stays.
func TestForeignProofs(t *testing.T) {
	disk, d, _, ids := pairOnDisk(t)
	id := ids[0]
	verify(t, d, id, "")
	path := disk.PathJoin(backupsPath, table, "proofs", id+".jsonl")
	sound, err := store.ReadFile(disk.mem, path)
	must(t, err)
	b, err := d.Find(table, id)
	must(t, err)
	line := func(edit ...string) string { // of a red proof
		return strings.NewReplacer(append(edit, "VERDICT_PROVEN", "VERDICT_RED")...).Replace(string(sound))
	}
	for what, c := range map[string]struct{ add, want string }{
		"red":              {line(), red},
		"without its end":  {strings.TrimSuffix(line(), "\n"), red}, // whole all the same
		"torn":             {line()[:len(line())/2], proven},
		"other manifest":   {line(b.ManifestSHA256, strings.Repeat("0", 64)), proven},
		"other backup":     {line(id, ids[1]), proven},
		"other table":      {line(`"`+table+`"`, `"other"`), proven},
		"newer":            {line(`"formatVersion":1`, `"formatVersion":99`), proven},
		"no verdict":       {strings.ReplaceAll(string(sound), "VERDICT_PROVEN", "VERDICT_UNSPECIFIED"), proven},
		"unknown field":    {line(`{"`, `{"inventedLater":1,"`), red},
		"garbage":          {"\x00\xff{}\n\n[]\n", proven},
		"nothing":          {"", proven},
		"sound after junk": {"junk\n" + string(sound), proven},
	} {
		overwrite(t, disk.mem, path, append(slices.Clone(sound), c.add...))
		if got := verdictOf(t, d, id); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
		verify(t, d, id, "")
		data, err := store.ReadFile(disk.mem, path)
		must(t, err)
		kept := c.add
		if !strings.HasSuffix(kept, "\n") {
			kept = ""
		}
		if !strings.HasPrefix(string(data), string(sound)+kept) || verdictOf(t, d, id) != proven {
			t.Errorf("%s: after the next verify %s: %s", what, verdictOf(t, d, id), data)
		}
	}
	// Proofs that cannot be read may say that the backup is red.
	must(t, disk.mem.Remove(path))
	must(t, disk.mem.MkdirAll(path, 0o755))
	if b, err := d.Find(table, id); err != nil || !b.Red || b.Proof != nil {
		t.Errorf("with proofs that cannot be read: red %v, %v", b.Red, err)
	}
	if newest, passedOver, err := d.Choose(table, backup.Choice{ID: id}); err == nil {
		t.Errorf("chose %s, passed over %q", newest.ID, passedOver)
	}
}

// TestProofsSurviveACrashAnywhere: the proofs before, or with the new one.
func TestProofsSurviveACrashAnywhere(t *testing.T) {
	rng := newRand(t)
	for range 3 {
		disk, d, _, ids := pairOnDisk(t)
		damageInPlace(t, disk, ids[0])
		verify(t, d, ids[1], "") // the neighbour, which shares the file
		before := map[string]int{ids[0]: 1, ids[1]: 1}
		crashes, last := 0, map[string]int{}
		look := func(clone *vfs.MemFS, op string) {
			for _, id := range ids {
				n := len(proofsOf(t, clone, backupsPath, id))
				if n != before[id] && n != before[id]+1 {
					t.Errorf("after %s: %d proofs of %s, were %d", op, n, id, before[id])
				}
				last[id] = n
			}
			again, err := backup.Open(backup.Options{FS: clone, Path: backupsPath, StoreID: testStore})
			must(t, err)
			for _, id := range ids {
				if got := verdictOf(t, again, id); got != red {
					t.Errorf("after %s: %s is %s", op, id, got)
				}
			}
			must(t, again.Close())
		}
		disk.hook(nil, func(op, path string) {
			if mutates(op) {
				crashes++
				for _, percent := range []int{0, 1 + rng.IntN(99), 100} {
					look(disk.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), op+" "+path)
				}
			}
		})
		verify(t, d, ids[0], "")
		disk.hook(nil, nil)
		look(disk.mem.CrashClone(vfs.CrashCloneCfg{}), "all")
		if crashes < 10 || last[ids[0]] != 2 || last[ids[1]] != 2 {
			t.Errorf("%d crashes, %v proofs", crashes, last)
		}
	}
}

// TestProofsOfRemovedBackupsAreSwept, and no other.
func TestProofsOfRemovedBackupsAreSwept(t *testing.T) {
	disk, d, live, ids := pairOnDisk(t)
	verify(t, d, ids[0], "")
	verify(t, d, ids[1], "")
	live.put(2000, 2001, 1)
	last := publish(t, d, live.cut()).GetBackupId()
	verify(t, d, last, "")
	must(t, disk.mem.RemoveAll(disk.PathJoin(backupsPath, table, ids[0])))
	_, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
	must(t, err)
	for i, id := range append(ids, last) {
		if got := len(proofsOf(t, disk, backupsPath, id)); got != map[bool]int{true: 1}[i == 2] {
			t.Errorf("%d proofs of %s are left", got, id)
		}
	}
}

// TestVerifyBesideRetain: what is being verified is not removed meanwhile, and its proof is kept, however often retention sweeps.
func TestVerifyBesideRetain(t *testing.T) {
	disk, d, _, ids := pairOnDisk(t)
	retain := func() []string {
		decisions, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
		must(t, err)
		var kept []string
		for _, decision := range decisions {
			if decision.GetKeep() {
				kept = append(kept, decision.GetBackupId())
			}
		}
		return kept
	}
	var once sync.Once
	_, err := d.Verify(t.Context(), table, ids[0], backup.VerifyOptions{Progress: func(int64) {
		once.Do(func() {
			if kept := retain(); len(kept) != 2 {
				t.Errorf("kept %v beside a verify", kept)
			}
		})
	}})
	must(t, err)
	if got := verdictOf(t, d, ids[0]); got != proven {
		t.Errorf("the proof is %s", got)
	}
	if kept := retain(); len(kept) != 1 {
		t.Errorf("kept %v after it", kept)
	}
	if _, err := d.Verify(t.Context(), table, ids[0], backup.VerifyOptions{}); err == nil {
		t.Error("verified a backup that is gone")
	}
	// A proof that is being written is not swept with those of backups that are gone: the sweep waits for it.
	swept := make(chan error, 1)
	disk.hook(func(op, path string) error {
		if op != "rename" || !strings.HasSuffix(path, ids[1]+".jsonl") {
			return nil
		}
		go func() {
			_, err := d.Retain(table, backup.Policy{Keep: 1}, noon)
			swept <- err
		}()
		select {
		case err := <-swept:
			t.Errorf("swept beside a proof that is being written: %v", err)
			swept <- err
		case <-time.After(100 * time.Millisecond):
		}
		return nil
	}, nil)
	verify(t, d, ids[1], "")
	must(t, <-swept)
	disk.hook(nil, nil)
	if got := verdictOf(t, d, ids[1]); got != proven {
		t.Errorf("the proof is %s", got)
	}
}

// readOnlyFS refuses and counts every change, as a disk that is mounted for reading only does.
func readOnlyFS(disk *hookFS) (changes func() []string) {
	var mu sync.Mutex
	var all []string
	disk.hook(func(op, path string) error {
		if !mutates(op) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, op+" "+path)
		return os.ErrPermission
	}, nil)
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// TestReadOnlyVerify writes nothing, be the backup proven or red, nor does a Reader.
func TestReadOnlyVerify(t *testing.T) {
	disk, d, live, ids := pairOnDisk(t)
	live.put(0, 60, 10)
	live.compact()
	ids = append(ids, publish(t, d, live.cut()).GetBackupId())
	want := live.rows
	damageInPlace(t, disk, ids[0])
	must(t, d.Close())
	d, err := backup.Open(backup.Options{FS: disk, Path: backupsPath, StoreID: testStore, ReadOnly: true})
	must(t, err)
	changes := readOnlyFS(disk)
	for i, want := range []messages.Verdict{messages.Verdict_VERDICT_RED, messages.Verdict_VERDICT_RED, messages.Verdict_VERDICT_PROVEN} {
		if p := verify(t, d, ids[i], ""); p.GetVerdict() != want {
			t.Errorf("verdict of %s is %v", ids[i], p)
		}
	}
	r, err := d.OpenBackup(table, ids[2], false)
	must(t, err)
	sameRows(t, rowsOf(t, r.Store), want)
	must(t, r.Close())
	if all := changes(); len(all) > 0 {
		t.Errorf("changed %q", all)
	}
	disk.hook(nil, nil)
	must(t, d.Close())
}

// TestVerifyOnAReadOnlyDirectory is TestReadOnlyVerify on the real file system, less what root may do all the same.
func TestVerifyOnAReadOnlyDirectory(t *testing.T) {
	g := newGallery(t)
	must(t, g.d.Close())
	before := contents(t, g.path)
	db := filepath.Join(g.path, table, g.ids[3], "db")
	must(t, os.Chmod(db, 0o555))
	t.Cleanup(func() { must(t, os.Chmod(db, 0o755)) })
	d, err := backup.Open(backup.Options{FS: store.RealFS(), Path: g.path, StoreID: testStore, ReadOnly: true})
	must(t, err)
	if p := verify(t, d, g.ids[3], ""); p.GetVerdict() != messages.Verdict_VERDICT_PROVEN {
		t.Errorf("proof %v", p)
	}
	must(t, d.Close())
	after := contents(t, g.path)
	delete(before, filepath.Join(g.path, "owner.json"))
	delete(after, filepath.Join(g.path, "owner.json"))
	if !maps.Equal(before, after) {
		t.Error("the directory has changed")
	}
}
