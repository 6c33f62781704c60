package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// gallery is a table with four backups on the real file system: the first two share sstables by hard links, and so do the last
// two, but not one pair with the other.
type gallery struct {
	live *servedTable
	d    *backup.Directory
	path string
	ids  []string
}

func newGallery(t *testing.T) *gallery {
	fs := store.RealFS()
	root, err := store.RealPath(fs, t.TempDir())
	must(t, err)
	g := &gallery{live: serveTable(t, fs, root, messages.Accounting_ACCOUNTING_EXACT), path: filepath.Join(root, "backups")}
	g.d = openDir(t, fs, g.path)
	for pair := range 2 {
		g.live.put(0, 120, 400)
		g.live.put(60, 180, 400)
		g.live.compact()
		g.live.put(200*pair+200, 200*pair+220, 300)
		g.live.flush()
		g.live.put(1000, 1010, 20) // in the WAL alone
		g.ids = append(g.ids, publish(t, g.d, g.live.cut()).GetBackupId())
		g.live.put(1010, 1020, 30)
		g.ids = append(g.ids, publish(t, g.d, g.live.cut()).GetBackupId())
	}
	return g
}

func (g *gallery) file(i int, name string) string {
	return filepath.Join(g.path, table, g.ids[i], name)
}

// names lists the files of a backup, relative to its directory.
func (g *gallery) names(t *testing.T, i int) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(g.file(i, ""), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(g.file(i, ""), path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}))
	return names
}

// scribble gives a file another content, under the same inode.
func scribble(t testing.TB, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_TRUNC, 0)
	must(t, err)
	_, err = f.Write(data)
	must(t, errors.Join(err, f.Close()))
}

func flipped(data []byte, at int) []byte {
	data = slices.Clone(data)
	data[at] ^= 0x10
	return data
}

// check finds backup i red, because of file, and so those that share the file; all others are not. A restore that nobody has
// warned is the first to find out.
func (g *gallery) check(t *testing.T, i int, file string) {
	t.Helper()
	want := map[string]bool{g.ids[i]: true}
	damaged, err := os.Stat(g.file(i, file))
	for j, id := range g.ids {
		if other, err2 := os.Stat(g.file(j, file)); err == nil && err2 == nil && os.SameFile(damaged, other) {
			want[id] = true
		}
	}
	ctx, o := t.Context(), backup.VerifyOptions{Workers: i} // one, or several
	for _, by := range []string{"restore", "verify"} {
		must(t, os.RemoveAll(filepath.Join(g.path, table, "proofs")))
		var neighbours []string
		if by == "verify" {
			v, err := g.d.Verify(ctx, table, g.ids[i], o)
			must(t, err)
			neighbours = v.Neighbours
		} else {
			b, err := g.d.Find(table, g.ids[i])
			must(t, err)
			faulty := b.Fault != nil
			_, err = g.d.Restore(ctx, b, t.TempDir(), o)
			if !errors.Is(err, messages.ErrDataLoss) && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("Restore = %v, want ErrDataLoss", err)
			}
			if faulty {
				continue // refused by its looks alone, without a proof
			}
		}
		for _, id := range g.ids {
			b, err := g.d.Find(table, id)
			must(t, err)
			if b.Red != want[id] {
				t.Errorf("%s: backup %s is red: %v, want %v (%v)", by, id, b.Red, want[id], b.Proof)
			}
			if !want[id] {
				continue
			}
			p := b.Proof
			if p.GetVerdict() != messages.Verdict_VERDICT_RED || p.GetFile() != file && !strings.Contains(p.GetReason(), file) ||
				p.GetReason() == "" || p.GetBy() != by {
				t.Errorf("%s: proof %v does not say that %s is damaged", by, p, file)
			}
			if shared := p.GetSharedWith(); (id == g.ids[i]) != (shared == "") || shared != "" && shared != g.ids[i] {
				t.Errorf("%s: proof of %s says it shares the file with %q", by, id, shared)
			}
			if by == "verify" && id != g.ids[i] && !slices.Contains(neighbours, id) {
				t.Errorf("neighbours are %v, want %s among them", neighbours, id)
			}
			if _, _, err := g.d.Choose(table, backup.Choice{ID: id}); err == nil {
				t.Errorf("%s: chose %s", by, id)
			}
			if _, err := g.d.Restore(ctx, b, t.TempDir(), backup.VerifyOptions{}); err == nil {
				t.Errorf("%s: restored %s", by, id)
			}
			if _, err := g.d.OpenBackup(table, id, false); err == nil {
				t.Errorf("%s: opened %s", by, id)
			}
		}
		newest, passedOver, err := g.d.Choose(table, backup.Choice{})
		if err != nil || want[newest.ID] || len(passedOver) > 0 != want[g.ids[3]] {
			t.Errorf("%s: chose %s, passed over %q, %v", by, newest.ID, passedOver, err)
		}
	}
}

// TestDamageMatrix damages every file of a backup in every way, in place, one at a time.
func TestDamageMatrix(t *testing.T) {
	g := newGallery(t)
	before := contents(t, filepath.Join(g.live.dir.Path(), "tables"))
	shared, ssts := 0, 0
	for _, i := range []int{0, 3} {
		for _, name := range g.names(t, i) {
			path := g.file(i, name)
			data, err := os.ReadFile(path)
			must(t, err)
			if strings.HasSuffix(name, ".sst") {
				ssts++
			}
			undo := func() { scribble(t, path, data) }
			cases := map[string]func(){"grown": func() { scribble(t, path, append(slices.Clone(data), 0)) }}
			if n := len(data); n > 0 {
				cases["first byte"] = func() { scribble(t, path, flipped(data, 0)) }
				cases["middle byte"] = func() { scribble(t, path, flipped(data, n/2)) }
				cases["last byte"] = func() { scribble(t, path, flipped(data, n-1)) }
				cases["cut short"] = func() { scribble(t, path, data[:n-1]) }
				cases["emptied"] = func() { scribble(t, path, nil) }
			}
			for what, damage := range cases {
				if i > 0 && what != "middle byte" {
					continue
				}
				damage()
				g.check(t, i, name)
				undo()
				if t.Failed() {
					t.Fatalf("backup %d, %s: %s", i, name, what)
				}
			}
			aside := path + ".moved"
			must(t, os.Rename(path, filepath.Join(g.path, "moved")))
			g.check(t, i, name)
			must(t, os.Rename(filepath.Join(g.path, "moved"), path))
			must(t, os.WriteFile(aside, []byte("x"), 0o600))
			g.check(t, i, name+".moved")
			must(t, os.Remove(aside))
			if t.Failed() {
				t.Fatalf("backup %d, %s is missing, or one too many", i, name)
			}
			if other, err := os.Stat(g.file(i^1, name)); err == nil {
				if mine, _ := os.Stat(path); os.SameFile(mine, other) {
					shared++
				}
			}
		}
	}
	if shared < 4 || ssts < 8 {
		t.Errorf("%d files are shared, %d sstables: that proves little", shared, ssts)
	}
	if after := contents(t, filepath.Join(g.live.dir.Path(), "tables")); len(after) != len(before) {
		t.Errorf("the live table has %d files, had %d", len(after), len(before))
	} else {
		for name, data := range before {
			if after[name] != data {
				t.Errorf("%s of the live table has changed", name)
			}
		}
	}
	must(t, g.live.s.CheckBlocks(1, nil))
	for _, id := range g.ids {
		v, err := g.d.Verify(context.Background(), table, id, backup.VerifyOptions{})
		if err != nil || v.Proof.GetVerdict() != messages.Verdict_VERDICT_PROVEN {
			t.Errorf("after all is as it was: %v, %v", v.Proof, err)
		}
	}
}

func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	}))
	return all
}

// TestExchangedFiles: a file is whole, but another backup's.
func TestExchangedFiles(t *testing.T) {
	g := newGallery(t)
	theirs := g.names(t, 2)
	for _, name := range g.names(t, 0) {
		kind := func(name string) string {
			base := strings.TrimPrefix(name, "db/")
			return strings.Trim(base, "0123456789-") + name[:strings.LastIndex(name, "/")+1]
		}
		k := slices.IndexFunc(theirs, func(other string) bool { return kind(other) == kind(name) })
		if k < 0 {
			t.Fatalf("there is nothing like %s among %v", name, theirs)
		}
		a, b, c := g.file(0, name), g.file(2, theirs[k]), filepath.Join(g.path, "moved")
		x, err := os.ReadFile(a)
		must(t, err)
		y, err := os.ReadFile(b)
		must(t, err)
		if string(x) == string(y) {
			continue // such as OPTIONS
		}
		exchange := func() {
			must(t, errors.Join(os.Rename(a, c), os.Rename(b, a), os.Rename(c, b)))
		}
		exchange()
		g.check(t, 0, name)
		g.check(t, 2, theirs[k])
		exchange()
		if t.Failed() {
			t.Fatalf("%s, and %s", name, theirs[k])
		}
	}
}
