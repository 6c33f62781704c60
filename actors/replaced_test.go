package actors_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// inPlace are ways in which a path on the real file system comes to name something else. path-moved is what it named.
var inPlace = map[string]func(path string) error{
	"gone":               func(string) error { return nil },
	"a file":             func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	"an empty directory": func(path string) error { return os.Mkdir(path, 0o700) },
	"a link to nothing":  func(path string) error { return os.Symlink(path+"-nothing", path) },
}

// startReal starts a Gabion on the real file system, with DIR and BACKUPDIR beside each other.
func startReal(t *testing.T, config actors.Config) *actors.Gabion {
	t.Helper()
	config.FS = store.RealFS()
	if len(config.Tables) == 0 {
		config.Tables = []string{"tasks"}
	}
	config.DisableSchedule, config.DisableDrill = true, true
	g, err := actors.Start(t.Context(), newSystem(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = g.Stop(ctx)
	})
	return g
}

func realDirs(t *testing.T) actors.Config {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return actors.Config{Dir: filepath.Join(root, "data"), BackupDir: filepath.Join(root, "backups")}
}

// run backs up and returns the one row.
func run(t *testing.T, g *actors.Gabion, m *messages.BackupAll) *messages.TableResult {
	t.Helper()
	report, err := g.Backup(t.Context(), m)
	if err != nil || len(report.GetSet().GetResults()) != 1 {
		t.Fatalf("backup: %v, %v", report, err)
	}
	return report.GetSet().GetResults()[0]
}

func wantGrade(t *testing.T, g *actors.Gabion, want messages.Grade, concern string) {
	t.Helper()
	report, err := g.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(report.GetConcerns(), "; ")
	if report.GetGrade() != want || !strings.Contains(all, concern) {
		t.Errorf("health is %v: %s; want %v: %s", report.GetGrade(), all, want, concern)
	}
}

// TestBackupDirReplaced: where BACKUPDIR is not the directory any more that is locked, runs fail with the reason, health is
// red, the tables are served, and nothing is made in the other place. When it is back, runs use it, without a restart.
func TestBackupDirReplaced(t *testing.T) {
	for what, replace := range inPlace {
		t.Run(what, func(t *testing.T) {
			config := realDirs(t)
			g := startReal(t, config)
			path, ctx := config.BackupDir, t.Context()
			if _, err := g.Table("tasks").Put(ctx, []byte("k"), []byte("v")); err != nil {
				t.Fatal(err)
			}
			if row := run(t, g, &messages.BackupAll{}); row.GetFailure() != nil {
				t.Fatal(row.GetFailure())
			}
			wantGrade(t, g, messages.Grade_GRADE_GREEN, "")
			if err := errors.Join(os.Rename(path, path+"-moved"), replace(path)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				row := run(t, g, &messages.BackupAll{})
				if failure := row.GetFailure(); !strings.Contains(failure.GetMessage(), "not the one that was opened") || failure.GetHint() == "" {
					t.Errorf("row: %v", row)
				}
			}
			wantGrade(t, g, messages.Grade_GRADE_RED, "no backup can be made")
			if report, err := g.Health(ctx); err != nil || report.GetTables()[0].Knows(messages.Figure_FIGURE_LAST_BACKUP) {
				t.Errorf("health knows the last backup: %v, %v", report, err)
			}
			if _, err := g.Table("tasks").Put(ctx, []byte("k"), []byte("w")); err != nil {
				t.Errorf("put: %v", err)
			}
			if names, err := os.ReadDir(path); len(names) > 0 {
				t.Errorf("the other place has %v, %v", names, err)
			}
			if err := errors.Join(os.RemoveAll(path), os.Rename(path+"-moved", path)); err != nil {
				t.Fatal(err)
			}
			if row := run(t, g, &messages.BackupAll{}); row.GetFailure() != nil {
				t.Errorf("the directory is back: %v", row)
			}
			wantGrade(t, g, messages.Grade_GRADE_GREEN, "")
		})
	}
}

// TestBackupDirMovedByCopy: a directory of the same backups in the place of BACKUPDIR, as after its disk was mounted anew, is
// locked and used.
func TestBackupDirMovedByCopy(t *testing.T) {
	config := realDirs(t)
	g := startReal(t, config)
	if row := run(t, g, &messages.BackupAll{}); row.GetFailure() != nil {
		t.Fatal(row.GetFailure())
	}
	path := config.BackupDir
	if err := os.Rename(path, path+"-moved"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-Rp", path+"-moved", path).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	if row := run(t, g, &messages.BackupAll{}); row.GetFailure() != nil {
		t.Error(row.GetFailure())
	}
	wantGrade(t, g, messages.Grade_GRADE_GREEN, "")
	if _, err := store.Acquire(store.RealFS(), path); !errors.Is(err, store.ErrHeld) {
		t.Errorf("the directory is not locked: %v", err)
	}
	if hold, err := store.Acquire(store.RealFS(), path+"-moved"); err != nil {
		t.Errorf("the old directory is locked: %v", err)
	} else if err := hold.Release(); err != nil {
		t.Error(err)
	}
}

// TestTableReplaced: a table that is written to, and whose directory is gone, acknowledges nothing soon after, and says why.
func TestTableReplaced(t *testing.T) {
	for what, replace := range inPlace {
		for _, above := range []string{"lineage", "DIR"} {
			t.Run(what+"/"+above, func(t *testing.T) {
				config := realDirs(t)
				g := startReal(t, config)
				states := make(chan *messages.TableStateChanged, 100)
				defer g.Subscribe(func(event proto.Message) {
					if m, ok := event.(*messages.TableStateChanged); ok {
						states <- m
					}
				})()
				table := g.Table("tasks")
				if _, err := table.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
					t.Fatal(err)
				}
				path := config.Dir
				if above == "lineage" {
					infos, err := g.ListTables(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					path = filepath.Join(path, "tables", "tasks", infos[0].GetPosition().GetLineage())
				}
				if err := errors.Join(os.Rename(path, path+"-moved"), replace(path)); err != nil {
					t.Fatal(err)
				}
				_, _ = table.Put(t.Context(), []byte("k"), []byte("w"))
				for m := range states {
					if m.GetTo() == messages.TableState_TABLE_STATE_QUARANTINED {
						break
					}
				}
				if _, err := table.Put(t.Context(), []byte("k"), []byte("x")); !errors.Is(err, messages.ErrUnavailable) {
					t.Errorf("put: %v", err)
				}
				wantGrade(t, g, messages.Grade_GRADE_RED, "quarantined")
			})
		}
	}
}

// TestIdleTableReplaced: health finds out that a table which nobody writes has lost its directory.
func TestIdleTableReplaced(t *testing.T) {
	config := realDirs(t)
	g := startReal(t, config)
	if _, err := g.Table("tasks").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := g.CloseTable(t.Context(), "tasks"); err != nil {
		t.Fatal(err)
	}
	if err := g.OpenTable(t.Context(), "tasks"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(config.Dir, "tables"), filepath.Join(config.Dir, "moved")); err != nil {
		t.Fatal(err)
	}
	report, err := g.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	row := report.GetTables()[0]
	if row.GetState() == messages.TableState_TABLE_STATE_OPEN || row.GetGrade() == messages.Grade_GRADE_GREEN {
		t.Errorf("row: %v", row)
	}
	if row := run(t, g, &messages.BackupAll{}); row.GetOutcome() != messages.Outcome_OUTCOME_FAILED {
		t.Errorf("run: %v", row)
	}
}
