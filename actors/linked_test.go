package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// said keeps what is logged.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestRecordsBehindLinks moves each record of DIR and BACKUPDIR behind a link. From a start to a stop it keeps its bytes, and an
// error, health or the log names the link.
func TestRecordsBehindLinks(t *testing.T) {
	for _, place := range []string{"data/losses", "data/schedule.json", "data/history.json", "data/backup_dirs.json",
		"backups/last_run.json", "backups/LOCK", "backups/owner.json", "backups/gabion.json"} {
		t.Run(strings.ReplaceAll(place, "/", "_"), func(t *testing.T) {
			config := realDirs(t)
			config.FS, config.Tables, config.Interval, config.DisableDrill, config.Keep = store.RealFS(), []string{"tasks"}, time.Hour, true, 1
			log := &said{}
			config.Logger = slog.New(slog.NewTextHandler(log, nil))
			use := func() string {
				g, err := actors.Start(t.Context(), newSystem(t), config)
				if err != nil {
					return err.Error()
				}
				var all []any
				for range 2 {
					_, err := g.Table("tasks").Put(t.Context(), []byte("k"), []byte(time.Now().String()))
					report, backupErr := g.BackupAll(t.Context())
					verified, verifyErr := g.VerifyBackup(t.Context(), "tasks", "")
					all = append(all, err, report, backupErr, verified, verifyErr)
				}
				pruned, err := g.PruneBackups(t.Context(), &messages.PruneBackups{})
				all = append(all, pruned, err)
				losses, err := g.Losses(t.Context(), &messages.ListLosses{})
				all = append(all, losses, err)
				health, err := g.Health(t.Context())
				all = append(all, health, err)
				return fmt.Sprint(append(all, g.Stop(context.Background()))...)
			}
			if said := use(); strings.Contains(said, "link") {
				t.Fatal(said)
			}
			at := filepath.Join(filepath.Dir(config.Dir), filepath.FromSlash(place))
			behind := filepath.Join(t.TempDir(), "behind")
			if err := os.Rename(at, behind); errors.Is(err, os.ErrNotExist) {
				theirs := behind
				if filepath.Ext(place) == "" {
					theirs = filepath.Join(behind, "01ARZ3NDEKTSV4RRFFQ69G5FAV.json")
				}
				if err := errors.Join(os.MkdirAll(filepath.Dir(theirs), 0o700), os.WriteFile(theirs, []byte("somebody else's"), 0o600)); err != nil {
					t.Fatal(err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(behind, at); err != nil {
				t.Fatal(err)
			}
			before := strings.Join(contents(t, behind), "\n")
			told := use() + log.String()
			if after := strings.Join(contents(t, behind), "\n"); after != before {
				t.Errorf("behind the link was\n%s\nand is\n%s", before, after)
			}
			if !strings.Contains(told, filepath.Base(place)+" is a symbolic link") {
				t.Errorf("nothing names the link: %s", told)
			}
			if info, err := os.Lstat(at); err != nil || info.Mode()&os.ModeSymlink == 0 {
				t.Errorf("the link was replaced: %v, %v", info, err)
			}
		})
	}
}

// contents lists the files at path and below, each with its content.
func contents(t *testing.T, path string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(path, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		files = append(files, fmt.Sprintf("%s: %q", name, data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
