package store

import (
	"maps"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A backup that has all that the sstables had fills their holes: with what the WAL did since, rows, deletes and ranges of deletes, the
// table is what it was. One that lacks what was written since is not taken, and changes nothing.
func TestMend(t *testing.T) {
	r, want := newLayers(t)
	rng := random(t)
	mended, refused := 0, 0
	for name, content := range tree(t, r.disk, r.path) {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		for range 40 {
			damaged := []byte(content)
			damaged[rng.IntN(len(damaged))] ^= 1 << rng.IntN(8)
			c := &ruin{lineage: r.lineage, path: r.path, disk: exactly(t, r.disk)}
			writeFile(t, c.disk, name, string(damaged))
			left, err := c.examined(t)
			if err != nil {
				t.Fatal(err)
			}
			if len(left.Holes) == 0 || left.Proven || left.unknown {
				continue
			}
			before := remainingRows(t, left)
			for _, empty := range []bool{true, false} {
				ok := mendFrom(t, left, r, empty)
				switch {
				case ok && !maps.Equal(mendedRows(t, left, r), want):
					t.Fatalf("%s: mended, and not what it was", name)
				case ok && !left.Proven, !ok && left.Proven:
					t.Errorf("%s: mended %v, proven %v", name, ok, left.Proven)
				case !ok && !maps.Equal(remainingRows(t, left), before):
					t.Errorf("%s: a backup that was not taken changed the rows", name)
				case !ok && !empty:
					t.Errorf("%s: not mended from a backup that has all of %v", name, left.Holes)
				}
				if ok {
					mended++
					break
				}
				refused++
			}
		}
	}
	t.Logf("mended %d times, refused %d times", mended, refused)
	if mended < 20 || refused < 5 {
		t.Errorf("mended %d times, refused %d times", mended, refused)
	}
}

// mendFrom mends the remains from the table as it was earlier, or from an empty one.
func mendFrom(t *testing.T, left *Remains, r *ruin, empty bool) bool {
	t.Helper()
	var backup *Store
	if empty {
		d := openDirectory(t, vfs.NewMem())
		defer closeAll(t, d)
		backup = openTable(t, d)
	} else {
		backup = asItWas(t, r)
	}
	defer closeAll(t, backup)
	ok, err := left.Mend(backup, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	left.mend = nil
	return ok
}

// asItWas is the table as it was earlier.
func asItWas(t *testing.T, r *ruin) *Store {
	t.Helper()
	s, err := OpenReadOnly(r.older, r.path, ReadOnlyOptions{Table: "t"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mendedRows are the rows of remains that the table as it was earlier has mended.
func mendedRows(t *testing.T, left *Remains, r *ruin) map[string]string {
	t.Helper()
	left.mend = asItWas(t, r)
	defer func() {
		closeAll(t, left.mend)
		left.mend = nil
	}()
	return remainingRows(t, left)
}
