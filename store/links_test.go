package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

const behindLink = "this is somebody else's"

// outsider makes a directory of somebody else's with a file under each name, and returns a check that it is untouched.
func outsider(t *testing.T, names ...string) (dir string, check func()) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(behindLink), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	return dir, func() {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var there []string
		for _, entry := range entries {
			there = append(there, entry.Name())
			if data, err := os.ReadFile(filepath.Join(dir, entry.Name())); string(data) != behindLink {
				t.Errorf("%s behind the link has %q: %v", entry.Name(), data, err)
			}
		}
		if !slices.Equal(there, names) {
			t.Errorf("behind the link are %q, want %q", there, names)
		}
	}
}

// replaceByLink puts a link in the place of path.
func replaceByLink(t *testing.T, path, target string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(path), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}

// tableOnDisk makes a directory on the real file system with the table t, closed.
func tableOnDisk(t *testing.T) (path, lineage string) {
	t.Helper()
	path = mustRealPath(t, RealFS(), t.TempDir())
	d := openReal(t, path)
	s := openTable(t, d)
	mustPut(t, s, "k", "v")
	lineage, err := d.Current("t")
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, s, d)
	return path, lineage
}

func openReal(t *testing.T, path string, configure ...func(*DirectoryOptions)) *Directory {
	t.Helper()
	return openDirectory(t, RealFS(), append([]func(*DirectoryOptions){func(o *DirectoryOptions) { o.Path = path }}, configure...)...)
}

func wantKind(t *testing.T, path string, err error) {
	t.Helper()
	var kind *disk.KindError
	if !errors.As(err, &kind) || kind.Path != path {
		t.Errorf("error is %v, want one that names the link %s", err, path)
	}
}

func TestLinkInPlaceOfALockOrANoteFailsTheStart(t *testing.T) {
	for _, name := range []string{lockFile, holderFile, infoFile, tablesDir} {
		t.Run(name, func(t *testing.T) {
			path, _ := tableOnDisk(t)
			dir, check := outsider(t, "file")
			target := filepath.Join(dir, "file")
			if name == tablesDir {
				target = dir
			}
			replaceByLink(t, filepath.Join(path, name), target)
			_, err := OpenDirectory(DirectoryOptions{FS: RealFS(), Path: path})
			wantKind(t, filepath.Join(path, name), err)
			check()
		})
	}
}

func TestLinkInPlaceOfATablesFileFailsItsOpen(t *testing.T) {
	for _, name := range []string{currentFile, "LINEAGE", "LINEAGE" + markSuffix, "LINEAGE/LOCK"} {
		t.Run(name, func(t *testing.T) {
			path, lineage := tableOnDisk(t)
			at := filepath.Join(path, tablesDir, "t", filepath.FromSlash(lineage+name[len("LINEAGE"):]))
			if name == currentFile {
				at = filepath.Join(path, tablesDir, "t", currentFile)
			}
			dir, check := outsider(t, "file")
			target := filepath.Join(dir, "file")
			if name == "LINEAGE" {
				target = dir
			}
			replaceByLink(t, at, target)
			d := openReal(t, path)
			_, err := d.Open("t", OpenOptions{})
			wantKind(t, at, err)
			check()
			closeAll(t, d)
		})
	}
}

func TestEventsAreNotKeptBehindALink(t *testing.T) {
	path, _ := tableOnDisk(t)
	dir, check := outsider(t, eventFileName(1), eventFileName(2), eventFileName(3), eventFileName(4), eventFileName(5))
	replaceByLink(t, filepath.Join(path, eventsDir), dir)
	d := openReal(t, path)
	wantKind(t, filepath.Join(path, eventsDir), d.EventLog().Append(logged(9, "closed")))
	_, _, err := d.EventLog().Read(0, time.Time{}, 0)
	wantKind(t, filepath.Join(path, eventsDir), err)
	check()
	closeAll(t, d)
}

func TestStagingIsNotSweptBehindALink(t *testing.T) {
	path, _ := tableOnDisk(t)
	dir, check := outsider(t, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
	replaceByLink(t, filepath.Join(path, stagingDir), dir)
	w := &warnings{}
	d := openReal(t, path, func(o *DirectoryOptions) { o.Logger = slog.New(w) })
	if w.count("staging is not swept") != 1 {
		t.Error("nobody is told of the link")
	}
	s := openTable(t, d)
	_, err := s.Cut(d.Staging("RUN", "t"))
	wantKind(t, filepath.Join(path, stagingDir), err)
	check()
	closeAll(t, s, d)
}

// TestStartRemovesOnlyWhatGabionMakes puts foreign files at each place that is swept.
func TestStartRemovesOnlyWhatGabionMakes(t *testing.T) {
	path, _ := tableOnDisk(t)
	pending := pendingPrefix + "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	table := filepath.Join(path, tablesDir, "t")
	foreign := []string{
		filepath.Join(path, stagingDir, "notes.txt"),
		filepath.Join(path, stagingDir, "RUN1", "t", "notes.txt"),
		filepath.Join(table, pendingPrefix+"mine", "notes.txt"),
		filepath.Join(table, pending, "notes.txt"),
		filepath.Join(table, "mine"+undoSuffix+asideSuffix),
	}
	ours := []string{
		filepath.Join(path, stagingDir, "RUN1", "t", "000001.sst"),
		filepath.Join(path, stagingDir, "RUN2", "t", "MANIFEST-000001"),
		filepath.Join(table, pending, "000001.log"),
		filepath.Join(table, "01ARZ3NDEKTSV4RRFFQ69G5FAV"+undoSuffix+asideSuffix),
	}
	for _, name := range slices.Concat(foreign, ours) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	w := &warnings{}
	d := openReal(t, path, func(o *DirectoryOptions) { o.Logger = slog.New(w) })
	for range 2 {
		if _, err := d.SweepUndo("t", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range foreign {
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("a foreign file was removed: %v", err)
		}
	}
	for _, name := range ours {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s was not swept", name)
		}
	}
	if _, err := os.Lstat(filepath.Join(path, stagingDir, "RUN2")); err == nil {
		t.Error("a run's staging was not swept")
	}
	if n := w.count("none of Gabion's files"); n != 3 {
		t.Errorf("%d warnings, want one for each of the 3 that lie where sweeps look", n)
	}
	closeAll(t, d)
}

// TestTableMayLieBehindALink gives a table a directory elsewhere: it is served, and cut there.
func TestTableMayLieBehindALink(t *testing.T) {
	path, lineage := tableOnDisk(t)
	table, elsewhere := filepath.Join(path, tablesDir, "t"), filepath.Join(t.TempDir(), "t")
	if err := errors.Join(os.Rename(table, elsewhere), os.Symlink(elsewhere, table)); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(elsewhere, stagingPrefix+"RUN1")
	if err := errors.Join(os.Mkdir(left, 0o700), os.WriteFile(filepath.Join(left, "000001.sst"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	d := openReal(t, path)
	if _, err := os.Lstat(left); err == nil {
		t.Error("a cut that a crash left is still there")
	}
	s := openTable(t, d, func(o *OpenOptions) { o.Create = false })
	mustPut(t, s, "a", "b")
	staging := d.Staging("RUN2", "t")
	if filepath.Dir(staging) != table {
		t.Errorf("the cut goes to %s", staging)
	}
	if _, err := s.Cut(staging); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(elsewhere, stagingPrefix+"RUN2")); err != nil {
		t.Error(err)
	}
	if lineages, err := d.Lineages("t"); !slices.Equal(lineages, []string{lineage}) || err != nil {
		t.Errorf("lineages are %v: %v", lineages, err)
	}
	if err := d.DiscardCut(staging); err != nil {
		t.Error(err)
	}
	if _, err := s.Cut(staging); err != nil {
		t.Fatal(err)
	}
	if err := d.DiscardRun("RUN2"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(staging); err == nil || !disk.IsLink(RealFS(), table) {
		t.Errorf("the cut is still there, or the table's link is gone: %v", err)
	}
	closeAll(t, s, d)
}

// TestNothingIsReadOrKeptBehindALinkOfDIR does what reads and writes the records of DIR, with each of them behind a link.
func TestNothingIsReadOrKeptBehindALinkOfDIR(t *testing.T) {
	const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	for _, c := range []struct {
		name string
		read func(*Directory) error
		// write may replace the link by a file of ours: what is behind it stays.
		write func(*Directory) error
	}{
		{scheduleFile, func(d *Directory) error { _, err := d.ReadSchedule(); return err },
			func(d *Directory) error { return d.WriteSchedule(&messages.ScheduleState{}) }},
		{historyFile, func(d *Directory) error { _, err := d.ReadHistory(); return err },
			func(d *Directory) error { return d.WriteHistory(&messages.History{}) }},
		{backupDirsFile, func(d *Directory) error { _, err := d.ReadBackupDirs(); return err },
			func(d *Directory) error { return d.WriteBackupDirs(&messages.BackupDirs{}) }},
		{lossesDir, func(d *Directory) error { _, err := d.Losses(); return err },
			func(d *Directory) error { _, err := d.NoteLoss(&messages.Loss{Table: "t"}); return err }},
		{lossesDir + "/" + id + lossSuffix, func(d *Directory) error { _, err := d.Losses(); return err },
			func(d *Directory) error {
				_, _, err := d.AcknowledgeLoss(id, "ann", "", time.Now())
				return err
			}},
	} {
		t.Run(filepath.Base(c.name), func(t *testing.T) {
			path, _ := tableOnDisk(t)
			dir, check := outsider(t, id+lossSuffix)
			target := filepath.Join(dir, id+lossSuffix)
			if c.name == lossesDir {
				target = dir
			}
			at := filepath.Join(path, filepath.FromSlash(c.name))
			if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
				t.Fatal(err)
			}
			replaceByLink(t, at, target)
			d := openReal(t, path)
			wantKind(t, at, c.read(d))
			check()
			if err := c.write(d); err != nil {
				wantKind(t, at, err)
			}
			if err := d.SettleLosses(); err != nil {
				wantKind(t, at, err)
			}
			check()
			s := openTable(t, d)
			mustPut(t, s, "a", "b")
			closeAll(t, s, d)
			check()
		})
	}
}
