//go:build !windows

package actors_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// spoken keeps the warnings of a Gabion, and what came with them.
type spoken struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *spoken) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (s *spoken) WithAttrs([]slog.Attr) slog.Handler               { return s }
func (s *spoken) WithGroup(string) slog.Handler                    { return s }
func (s *spoken) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool { s.text.WriteString(" " + a.String()); return true })
	s.text.WriteString("\n")
	return nil
}

func startAndStop(t *testing.T, c actors.Config) string {
	t.Helper()
	s := &spoken{}
	c.Tables, c.DisableSchedule, c.Logger = []string{"t"}, true, slog.New(s)
	g, err := actors.Start(t.Context(), newSystem(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Table("t").Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Error(err)
	}
	if _, err := g.Backup(t.Context(), &messages.BackupAll{}); err != nil {
		t.Error(err)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestOthersMayNotReadWhatIsMade looks at each file of a Gabion, with its backups, on the real file system.
func TestOthersMayNotReadWhatIsMade(t *testing.T) {
	for mode, want := range map[fs.FileMode][2]fs.FileMode{0: {0o700, 0o600}, 0o750: {0o750, 0o640}} {
		dir := filepath.Join(t.TempDir(), "d")
		if text := startAndStop(t, actors.Config{Dir: dir, DirMode: mode}); strings.Contains(text, "other users") {
			t.Errorf("mode %o: a new directory is warned of: %s", mode, text)
		}
		n := 0
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			n++
			if perm := info.Mode().Perm(); info.IsDir() && perm != want[0] || info.Mode().IsRegular() && perm != want[1] {
				t.Errorf("mode %o: %s has mode %o", mode, path, perm)
			}
			return nil
		})
		if err != nil || n < 20 {
			t.Errorf("%d files were looked at: %v", n, err)
		}
	}
}

func TestWiderDirectoryIsWarnedOf(t *testing.T) {
	dir, backups := filepath.Join(t.TempDir(), "d"), filepath.Join(t.TempDir(), "b")
	c := actors.Config{Dir: dir, BackupDir: backups}
	startAndStop(t, c)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(backups, 0o750)); err != nil {
		t.Fatal(err)
	}
	text := startAndStop(t, c)
	if strings.Count(text, "other users may read") != 1 || !strings.Contains(text, "find -H '"+dir+"' '"+backups+"' ! -type l ! -type s -exec chmod u=rwX,g=,o= {} +") {
		t.Errorf("said %q", text)
	}
	c.DirMode = 0o750
	if text := startAndStop(t, c); !strings.Contains(text, "find -H '"+dir+"' ! -type l ! -type s -exec chmod u=rwX,g=rX,o= {} +\n") {
		t.Errorf("said %q", text)
	}
	c.DirMode = 0o755
	if text := startAndStop(t, c); strings.Contains(text, "other users") {
		t.Errorf("said %q", text)
	}
}

func TestDirModeMustLetItsOwnerIn(t *testing.T) {
	for _, mode := range []fs.FileMode{0o070, 0o600, fs.ModeSetgid | 0o700} {
		_, err := actors.Start(t.Context(), newSystem(t), actors.Config{Dir: filepath.Join(t.TempDir(), "d"), Tables: []string{"t"}, DirMode: mode})
		if !errors.Is(err, messages.ErrInvalid) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}
