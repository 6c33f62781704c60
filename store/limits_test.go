package store

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// grown is how long a file of a few bytes has become, without a block on the disk.
const grown = 20 << 30

func grow(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Truncate(grown), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkBounded calls work. Its error must name the file at path as too long, and it must not have read the file.
func checkBounded(t *testing.T, path string, work func() error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := work()
	runtime.ReadMemStats(&after)
	var long *disk.LengthError
	if !errors.As(err, &long) || long.Path != path {
		t.Errorf("error is %v, want one about the length of %s", err, path)
	} else if len(messages.Hints(err)) == 0 {
		t.Errorf("%v has no hint", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 256<<20 {
		t.Errorf("%d MiB were allocated", got>>20)
	}
}

func TestGrownFilesAreNotRead(t *testing.T) {
	path := mustRealPath(t, RealFS(), t.TempDir())
	open := func() *Directory {
		d, err := OpenDirectory(DirectoryOptions{FS: RealFS(), Path: path, CacheBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	s := openTable(t, d)
	mustPut(t, s, "k", "v")
	closeAll(t, s)
	lineage, err := d.Current("t")
	if err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(path, tablesDir, "t")

	t.Run("owner.json", func(t *testing.T) {
		grow(t, filepath.Join(path, holderFile))
		if _, err := Acquire(RealFS(), path); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("mark", func(t *testing.T) {
		// The slots are where they were: what is behind them counts for nothing.
		grow(t, filepath.Join(table, lineage+markSuffix))
		s := openTable(t, d, func(o *OpenOptions) { o.Create = false })
		if rows(t, s)["k"] != "v" {
			t.Error("the table lost its row")
		}
		closeAll(t, s)
	})
	t.Run("options", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(table, lineage, "OPTIONS-*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no OPTIONS: %v", err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		grow(t, files[0])
		checkBounded(t, files[0], func() error {
			_, err := d.Open("t", OpenOptions{})
			if !errors.Is(err, messages.ErrDataLoss) {
				t.Errorf("%v is no damage", err)
			}
			return err
		})
		if err := os.WriteFile(files[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("undo", func(t *testing.T) {
		undo := filepath.Join(table, "01ARZ3NDEKTSV4RRFFQ69G5FAV"+undoSuffix)
		grow(t, undo)
		checkBounded(t, undo, func() error {
			_, err := d.Undo("t")
			return err
		})
		if err := os.Remove(undo); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("schedule.json", func(t *testing.T) {
		grow(t, filepath.Join(path, scheduleFile))
		checkBounded(t, filepath.Join(path, scheduleFile), func() error {
			_, err := d.ReadSchedule()
			return err
		})
	})
	t.Run("history.json", func(t *testing.T) {
		grow(t, filepath.Join(path, historyFile))
		checkBounded(t, filepath.Join(path, historyFile), func() error {
			_, err := d.ReadHistory()
			return err
		})
	})
	t.Run("loss", func(t *testing.T) {
		id, err := d.NoteLoss(&messages.Loss{Table: "t", ToLineage: lineage})
		if err != nil {
			t.Fatal(err)
		}
		grow(t, d.lossPath(id))
		checkBounded(t, d.lossPath(id), func() error {
			_, err := d.Losses()
			return err
		})
		checkBounded(t, d.lossPath(id), func() error { return d.CheckLoss(id) })
		if err := errors.Join(d.SettleLosses(), os.Remove(d.lossPath(id))); err != nil {
			t.Errorf("settle: %v", err)
		}
	})
	t.Run("backup_dirs.json", func(t *testing.T) {
		grow(t, filepath.Join(path, backupDirsFile))
		checkBounded(t, filepath.Join(path, backupDirsFile), func() error {
			_, err := d.ReadBackupDirs()
			return err
		})
	})
	t.Run("current", func(t *testing.T) {
		grow(t, filepath.Join(table, currentFile))
		checkBounded(t, filepath.Join(table, currentFile), func() error {
			_, err := d.Open("t", OpenOptions{})
			if !errors.Is(err, messages.ErrDataLoss) {
				t.Errorf("%v is no damage", err)
			}
			return err
		})
	})
	t.Run("events", func(t *testing.T) {
		l := d.EventLog()
		if err := errors.Join(l.Append(logged(1, "closed")), l.Close()); err != nil {
			t.Fatal(err)
		}
		grow(t, filepath.Join(path, eventsDir, eventFileName(1)))
		if events, _, err := d.EventLog().Read(0, time.Time{}, 0); len(events) != 1 || err != nil {
			t.Errorf("%d events are read: %v", len(events), err)
		}
	})
	t.Run("gabion.json", func(t *testing.T) {
		closeAll(t, d)
		grow(t, filepath.Join(path, infoFile))
		checkBounded(t, filepath.Join(path, infoFile), func() error {
			_, err := OpenDirectory(DirectoryOptions{FS: RealFS(), Path: path})
			return err
		})
	})
}
