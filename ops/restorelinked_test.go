package ops

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
)

// TestRestoreSetBesideLinks restores a set into an empty directory, with each part of the backups behind a link. The restore fails
// and names the link, or needs nothing that is behind it. What is behind a link stays as it is.
func TestRestoreSetBesideLinks(t *testing.T) {
	for _, place := range []string{"last_run.json", "LOCK", "gabion.json", "sets", "fruit", "fruit/ID", "fruit/ID/db",
		"fruit/ID/manifest.json", "fruit/ID/db/OPTIONS-*", "fruit/ID/db/*.sst"} {
		t.Run(strings.NewReplacer("/", "_", "*", "").Replace(place), func(t *testing.T) {
			at := t.TempDir()
			d, backups, elsewhere := filepath.Join(at, "d"), filepath.Join(at, "backups"), filepath.Join(t.TempDir(), "behind")
			var set string
			withHost(t, d, newGate(), func(g *actors.Gabion) {
				put(t, g, "fruit", "1")
				put(t, g, "other", "1")
				set = run(t, g).GetRunId()
			})
			if err := errors.Join(os.Rename(filepath.Join(d, "backups"), backups), os.RemoveAll(d), os.Mkdir(d, 0o700)); err != nil {
				t.Fatal(err)
			}
			found, err := filepath.Glob(filepath.Join(backups, filepath.FromSlash(strings.Replace(place, "ID", "000001_*", 1))))
			if err != nil || len(found) == 0 {
				t.Fatalf("no %s: %v", place, err)
			}
			link := found[0]
			if err := errors.Join(os.Rename(link, elsewhere), os.Symlink(elsewhere, link)); err != nil {
				t.Fatal(err)
			}
			before := contents(t, elsewhere)
			reports, err := RestoreSet(t.Context(), SetOptions{Dir: d, BackupDir: backups, RunID: set})
			if after := contents(t, elsewhere); after != before {
				t.Errorf("what is behind the link had %d B, and has %d B", len(before), len(after))
			}
			if err == nil && len(reports) != 2 || err != nil && !strings.Contains(err.Error(), filepath.Base(link)) {
				t.Errorf("restore: %v, %v", reports, err)
			}
			if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("the link was replaced: %v, %v", info, err)
			}
		})
	}
}

// contents lists the files at path and below, each with its content.
func contents(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(path, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		all.WriteString(name + "\n" + string(data) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
