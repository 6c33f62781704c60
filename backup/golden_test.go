package backup_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// testdata/golden-vN holds a backup directory as the version that wrote format N made it, and its rows, in hexadecimal, one KEY
// VALUE a line. Every later version must read all of them. go test -run TestGolden -rewrite makes that of this format anew.
const (
	goldenDirs = "testdata/golden-v*"
	goldenRows = "rows.txt"
)

func writeGolden(t *testing.T) {
	t.Helper()
	fs := store.RealFS()
	root, err := store.RealPath(fs, t.TempDir())
	must(t, err)
	live := serveTable(t, fs, root, messages.Accounting_ACCOUNTING_EXACT)
	live.put(0, 60, 8)
	live.compact()
	live.put(30, 40, 9)
	live.write(func(g *store.Group) error {
		for i := 40; i < 50; i++ {
			delete(live.rows, fmt.Sprintf("key%08d", i))
		}
		return g.DeleteRange([]byte("key00000040"), []byte("key00000050"), nil)
	})
	live.flush()
	live.put(100, 105, 10) // in the WAL alone
	path := filepath.Join(root, "backups")
	d := openDir(t, fs, path)
	publish(t, d, live.cut())
	must(t, d.Close())
	golden := fmt.Sprintf("testdata/golden-v%d", store.FormatVersion)
	must(t, os.RemoveAll(golden))
	must(t, os.CopyFS(golden, os.DirFS(path)))
	must(t, os.Remove(filepath.Join(golden, "LOCK")))
	_ = os.Remove(filepath.Join(golden, "owner.json"))
	var lines strings.Builder
	for _, key := range slices.Sorted(maps.Keys(live.rows)) {
		fmt.Fprintf(&lines, "%x %x\n", key, live.rows[key])
	}
	must(t, os.WriteFile(filepath.Join(golden, goldenRows), []byte(lines.String()), 0o644))
}

// copied returns a copy of a golden directory, and its rows.
func copied(t *testing.T, golden string) (path string, rows map[string]string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "backups")
	must(t, os.CopyFS(path, os.DirFS(golden)))
	data, err := os.ReadFile(filepath.Join(path, goldenRows))
	must(t, err)
	must(t, os.Remove(filepath.Join(path, goldenRows)))
	rows = map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		k, err := hex.DecodeString(key)
		must(t, err)
		v, err := hex.DecodeString(value)
		must(t, err)
		rows[string(k)] = string(v)
	}
	return path, rows
}

// TestGoldenBackups: backups that older versions made are proven, read in place, and restored.
func TestGoldenBackups(t *testing.T) {
	if *rewrite {
		writeGolden(t)
	}
	goldens, err := filepath.Glob(goldenDirs)
	must(t, err)
	if len(goldens) < int(store.FormatVersion) {
		t.Fatalf("there is one for %d of %d formats", len(goldens), store.FormatVersion)
	}
	for _, golden := range goldens {
		t.Run(filepath.Base(golden), func(t *testing.T) {
			path, want := copied(t, golden)
			fs := store.RealFS()
			path, err := store.RealPath(fs, path)
			must(t, err)
			id, err := backup.StoreIDAt(fs, path)
			must(t, err)
			d, err := backup.Open(backup.Options{FS: fs, Path: path, StoreID: id})
			must(t, err)
			defer func() { must(t, d.Close()) }()
			b, passedOver, err := d.Choose(table, backup.Choice{})
			if err != nil || len(passedOver) > 0 || b.Proof != nil {
				t.Fatalf("chose %+v, passed over %q, %v", b, passedOver, err)
			}
			if p := verify(t, d, b.ID, ""); p.GetVerdict() != messages.Verdict_VERDICT_PROVEN || p.GetRows() != uint64(len(want)) || len(want) < 50 {
				t.Errorf("proof %v of %d rows", p, len(want))
			}
			r, err := d.OpenBackup(table, b.ID, false)
			must(t, err)
			sameRows(t, rowsOf(t, r.Store), want)
			must(t, r.Close())
			dir, err := store.OpenDirectory(store.DirectoryOptions{FS: fs, Path: filepath.Join(filepath.Dir(path), "gabion"), StoreID: id})
			must(t, err)
			s, _ := restoreInto(t, d, dir, b.ID)
			sameRows(t, rowsOf(t, s), want)
			must(t, s.Close())
			must(t, dir.Close())
		})
	}
}
