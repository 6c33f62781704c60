//go:build !windows

package actors_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

// TestStrangeFilesOfTables: a FIFO in the place of a file of one table, and 20 GiB in the place of another's, keep these two from
// being served, for a reason that names the file. The start, the other tables, health and the listing do not wait for them.
func TestStrangeFilesOfTables(t *testing.T) {
	for _, c := range []struct{ fifo, grown string }{
		{"current", "current"},
		{"*.mark", "*/OPTIONS-*"},
		{"*/*.log", "*/*.sst"},
		{"*/*.sst", "*/OPTIONS-*"},
		{"*/MANIFEST-*", "*/OPTIONS-*"},
		{"*/OPTIONS-*", "*/*.sst"},
	} {
		t.Run(strings.NewReplacer("/", "_", "*", "").Replace(c.fifo+" and "+c.grown), func(t *testing.T) {
			config := realDirs(t)
			config.Tables = []string{"fifo", "grown", "tasks"}
			g := startReal(t, config)
			for _, name := range config.Tables {
				if _, err := g.Table(name).Put(t.Context(), []byte("k"), []byte("v")); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := g.BackupAll(t.Context()); err != nil { // every table has an sstable now
				t.Fatal(err)
			}
			if err := g.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			one := func(table, pattern string) string {
				t.Helper()
				paths, err := filepath.Glob(filepath.Join(config.Dir, "tables", table, filepath.FromSlash(pattern)))
				if err != nil || len(paths) == 0 {
					t.Fatalf("no %s of table %s: %v", pattern, table, err)
				}
				return paths[len(paths)-1]
			}
			strange := map[string]string{"fifo": one("fifo", c.fifo), "grown": one("grown", c.grown)}
			if err := errors.Join(os.Remove(strange["fifo"]), syscall.Mkfifo(strange["fifo"], 0o600),
				os.Truncate(strange["grown"], 20<<30)); err != nil {
				t.Fatal(err)
			}

			g = startReal(t, config)
			if _, err := g.Table("tasks").Put(t.Context(), []byte("k"), []byte("w")); err != nil {
				t.Errorf("put into the table beside them: %v", err)
			}
			if value, err := g.Table("tasks").Get(t.Context(), []byte("k")); string(value) != "w" || err != nil {
				t.Errorf("get from the table beside them: %q, %v", value, err)
			}
			infos, err := g.ListTables(t.Context())
			if err != nil || len(infos) != 3 {
				t.Fatalf("listing: %v, %v", infos, err)
			}
			for _, info := range infos {
				path, isStrange := strange[info.GetTable()]
				if open := info.GetState() == messages.TableState_TABLE_STATE_OPEN; open == isStrange {
					t.Errorf("table %s is %v: %s", info.GetTable(), info.GetState(), info.GetReason())
				}
				if isStrange && !strings.Contains(info.GetReason(), filepath.Base(path)) {
					t.Errorf("the reason of table %s does not name %s: %s", info.GetTable(), path, info.GetReason())
				}
			}
			for name := range strange {
				if _, err := g.Table(name).Put(t.Context(), []byte("k"), []byte("w")); !errors.Is(err, messages.ErrUnavailable) {
					t.Errorf("put into table %s: %v", name, err)
				}
			}
			report, err := g.Health(t.Context())
			if err != nil || report.GetGrade() == messages.Grade_GRADE_GREEN || len(report.GetTables()) != 3 {
				t.Fatalf("health: %v, %v", report, err)
			}
			for _, row := range report.GetTables() {
				if _, isStrange := strange[row.GetTable()]; isStrange == (row.GetGrade() == messages.Grade_GRADE_GREEN) {
					t.Errorf("health of table %s: %v", row.GetTable(), row)
				}
			}
		})
	}
}
