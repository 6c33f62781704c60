package ops

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// withHost runs use with a Gabion on dir that serves fruit and other, and stops it.
func withHost(t *testing.T, dir string, fs *gate, use func(*actors.Gabion)) {
	t.Helper()
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
	defer system.Shutdown()
	g, err := actors.Start(t.Context(), system, actors.Config{Dir: dir, Tables: []string{"fruit", "other"}, DisableSchedule: true,
		DisableDrill: true, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	use(g)
	if err := g.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// put stores a value that is new, so that the next backup is not carried forward.
func put(t *testing.T, g *actors.Gabion, table, value string) {
	t.Helper()
	if _, err := g.Table(table).Put(t.Context(), []byte("k"), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// run backs up and returns the set.
func run(t *testing.T, g *actors.Gabion) *messages.BackupSet {
	t.Helper()
	report, err := g.Backup(t.Context(), &messages.BackupAll{})
	if err != nil {
		t.Fatal(err)
	}
	return report.GetSet()
}

// What RestoreSet refuses leaves nothing where the tables were to go, nor does a dry run.
func TestRestoreSetRefuses(t *testing.T) {
	at, fs := t.TempDir(), newGate()
	d := filepath.Join(at, "d")
	backups := filepath.Join(d, "backups")
	var whole, partial string
	withHost(t, d, fs, func(g *actors.Gabion) {
		put(t, g, "fruit", "1")
		put(t, g, "other", "1")
		whole = run(t, g).GetRunId()
		put(t, g, "fruit", "2")
		put(t, g, "other", "2")
		refused := "/backups/other"
		fs.refused.Store(&refused)
		partial = run(t, g).GetRunId()
		fs.refused.Store(nil)
	})
	empty, full, file := filepath.Join(at, "empty"), filepath.Join(at, "full"), filepath.Join(at, "file")
	for _, dir := range []string{empty, full} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{file, filepath.Join(full, "letter")} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := filepath.Join(at, "new")
	refuse := func(what, want, hint string, o SetOptions) {
		t.Helper()
		before := tree(t, at)
		for _, o.DryRun = range []bool{true, false} {
			reports, err := RestoreSet(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), want) || len(reports) > 0 || !strings.Contains(strings.Join(messages.Hints(err), "; "), hint) {
				t.Errorf("%s: %v, %v, hints %q", what, reports, err, messages.Hints(err))
			}
		}
		if after := tree(t, at); after != before {
			t.Errorf("%s changed\n%s\nto\n%s", what, before, after)
		}
	}
	refuse("no set", "not found", "the newest set is "+partial, SetOptions{Dir: n, BackupDir: backups, RunID: "x"})
	refuse("no set, empty", "not found", "the newest set is "+partial, SetOptions{Dir: empty, BackupDir: backups, RunID: "x"})
	refuse("a partial set", "is not whole: other failed in the run", "--thinned", SetOptions{Dir: empty, BackupDir: backups, RunID: partial})
	refuse("no backups", "not found", "holds the backups", SetOptions{Dir: n, BackupDir: filepath.Join(at, "x"), RunID: whole})
	refuse("a full directory", "is not empty", "new directory", SetOptions{Dir: full, BackupDir: backups, RunID: whole})
	refuse("its own directory", "is not empty", "new directory", SetOptions{Dir: d, BackupDir: backups, RunID: whole})
	refuse("a file", "not a directory", "name a directory", SetOptions{Dir: file, BackupDir: backups, RunID: whole})
	refuse("no parent", "parent of directory", "make the parent", SetOptions{Dir: filepath.Join(n, "n"), BackupDir: backups, RunID: whole})
	refuse("among the backups", "lies within", "elsewhere", SetOptions{Dir: filepath.Join(backups, "n"), BackupDir: backups, RunID: whole})
	refuse("among the tables", "lies within", "elsewhere", SetOptions{Dir: filepath.Join(d, "tables", "n"), BackupDir: backups, RunID: whole})
	if os.Geteuid() == 0 {
		lock, sets := filepath.Join(backups, "LOCK"), filepath.Join(backups, "sets")
		if err := errors.Join(os.Chown(lock, 65534, -1), os.Chown(sets, 65534, -1)); err != nil {
			t.Fatal(err)
		}
		refuse("another user's backups", "belongs to user 65534", "sudo", SetOptions{Dir: n, BackupDir: backups, RunID: whole})
		if err := errors.Join(os.Chown(lock, 0, -1), os.Chown(sets, 0, -1)); err != nil {
			t.Fatal(err)
		}
	}
	withHost(t, d, fs, func(*actors.Gabion) {
		refuse("backups in use", "in use", "stop", SetOptions{Dir: n, BackupDir: backups, RunID: whole})
	})

	reports, err := RestoreSet(t.Context(), SetOptions{Dir: empty, BackupDir: backups, RunID: partial, Thinned: true})
	if err != nil || len(reports) != 1 || reports[0].GetRestored().GetTable() != "fruit" {
		t.Errorf("what a partial set has: %v, %v", reports, err)
	}

	// One that turns out to be damaged on the way ends it, and the error says how far it came.
	damaged, err := filepath.Glob(filepath.Join(backups, "other", "000001_*", "db", "OPTIONS-*"))
	if err != nil || len(damaged) != 1 {
		t.Fatal(damaged, err)
	}
	if err := os.WriteFile(damaged[0], []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	reports, err = RestoreSet(t.Context(), SetOptions{Dir: n, BackupDir: backups, RunID: whole})
	if !errors.Is(err, messages.ErrDataLoss) || len(reports) != 1 ||
		!strings.Contains(strings.Join(messages.Hints(err), "; "), "1 of 2 tables were restored into "+n+": remove it") {
		t.Errorf("damaged: %v, %v, hints %q", reports, err, messages.Hints(err))
	}
	refuse("a red one", "it is red", "another", SetOptions{Dir: filepath.Join(at, "red"), BackupDir: backups, RunID: whole})
}

// tree lists what lies below a directory, without lock files and what a host that serves fruit and other changes.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		switch base := filepath.Base(path); {
		case base == "events", base == "staging", strings.Contains(path, "/tables/fruit"), strings.Contains(path, "/tables/other"):
			return filepath.SkipDir
		case base != "LOCK" && base != "owner.json":
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}
