package backup_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// owned is a DIR and its BACKUPDIR, both open.
type owned struct {
	*backup.Directory
	directory *store.Directory
}

// tryOpen opens DIR and BACKUPDIR as a host does.
func tryOpen(fs vfs.FS, dir, backups string) (o owned, err error) {
	if o.directory, err = store.OpenDirectory(store.DirectoryOptions{FS: fs, Path: dir, StoreID: testStore}); err != nil {
		return o, err
	}
	o.Directory, err = backup.Open(backup.Options{FS: fs, Path: backups, StoreID: testStore, Memory: o.directory})
	return o, err
}

// opened is tryOpen, until the test ends or with close.
func opened(t testing.TB, fs vfs.FS, dir, backups string) owned {
	t.Helper()
	o, err := tryOpen(fs, dir, backups)
	must(t, err)
	return o
}

func (o owned) close(t testing.TB) {
	t.Helper()
	must(t, errors.Join(o.Directory.Close(), o.directory.Close()))
}

// run begins a run, and ends the use of both directories.
func run(t testing.TB, fs vfs.FS, dir, backups string, adopt bool) error {
	t.Helper()
	o := opened(t, fs, dir, backups)
	defer o.close(t)
	unmarked, err := o.BeginRun(ulid.Make().String(), adopt)
	must(t, unmarked)
	if err == nil {
		must(t, o.Whose())
	}
	return err
}

// copyDir copies a directory as cp -a does.
func copyDir(t testing.TB, fs vfs.FS, from, to string) {
	t.Helper()
	ok, err := vfs.Clone(fs, fs, from, to, vfs.CloneSync)
	must(t, err)
	if !ok {
		t.Fatalf("%s is not there", from)
	}
	// The lock of the one is not the lock of the other.
	must(t, fs.Remove(fs.PathJoin(to, "LOCK")))
}

func newPair(t testing.TB) *vfs.MemFS {
	disk := vfs.NewCrashableMem()
	must(t, disk.MkdirAll("/one", 0o755))
	return disk
}

const (
	one     = "/one/data"
	two     = "/one/copy"
	theirs  = "/one/backups"
	another = "/one/other"
)

// wantRefused wants an error of a run that may be adopted, with a hint, whose text has a part.
func wantRefused(t testing.TB, err error, part string) {
	t.Helper()
	failure := messages.FailureOf(err)
	switch {
	case !errors.Is(err, messages.ErrNotAdopted), failure.GetCode() != messages.Code_CODE_FAILED_PRECONDITION:
		t.Errorf("got %v, want an error of a backup directory that is not adopted", err)
	case !strings.Contains(err.Error(), part), !strings.Contains(failure.GetHint(), "gabion backup --adopt"):
		t.Errorf("got %q, hint %q; want %q", err, failure.GetHint(), part)
	}
}

// TestCopyIsRefused: of two copies of a directory the one that runs first goes on, and the other one is refused until it
// adopts the backup directory, which refuses the first one.
func TestCopyIsRefused(t *testing.T) {
	fs := newPair(t)
	must(t, run(t, fs, one, theirs, false))
	must(t, run(t, fs, one, theirs, false))
	copyDir(t, fs, one, two)
	must(t, run(t, fs, two, theirs, false)) // nobody can tell which one is the copy
	was := snapshot(t, fs, "/one")
	wantRefused(t, run(t, fs, one, theirs, false), "these backups are of another copy of this directory")
	wantSame(t, fs, was)
	must(t, run(t, fs, two, theirs, false))
	must(t, run(t, fs, one, theirs, true))
	wantRefused(t, run(t, fs, two, theirs, false), "of another copy")
	must(t, run(t, fs, one, theirs, false))
	must(t, run(t, fs, two, another, true))
	must(t, run(t, fs, two, another, false))
	must(t, run(t, fs, one, theirs, true)) // without need it does nothing
}

// wantSame wants every file to be as it was, but for the locks and notes of who came by.
func wantSame(t testing.TB, fs vfs.FS, was []string) {
	t.Helper()
	if now := snapshot(t, fs, "/one"); fmt.Sprint(now) != fmt.Sprint(was) {
		t.Errorf("the disk was %q, is %q", was, now)
	}
}

// TestAlternatingDirectories: each of two backup directories is begun once, and both are used in turn from then on.
func TestAlternatingDirectories(t *testing.T) {
	fs := newPair(t)
	must(t, run(t, fs, one, theirs, false))
	wantRefused(t, run(t, fs, one, another, false), "backed up to "+theirs+" last")
	must(t, run(t, fs, one, another, true))
	for range 20 {
		must(t, run(t, fs, one, theirs, false))
		must(t, run(t, fs, one, another, false))
	}
	// What was put aside is known when it is back.
	must(t, fs.Rename(theirs, theirs+"-aside"))
	wantRefused(t, run(t, fs, one, theirs, false), "backed up to "+another+" last")
	must(t, fs.RemoveAll(theirs))
	must(t, fs.Rename(theirs+"-aside", theirs))
	must(t, run(t, fs, one, theirs, false))
}

// TestDirsAreBounded: the sixteen backup directories that were used last are remembered.
func TestDirsAreBounded(t *testing.T) {
	fs := newPair(t)
	for i := range 18 {
		must(t, run(t, fs, one, fmt.Sprintf("/one/b%02d", i), true))
	}
	must(t, run(t, fs, one, "/one/b02", false))
	wantRefused(t, run(t, fs, one, "/one/b01", false), "of another copy")
}

// TestTakenOver: a directory that is made anew for backups goes on with them, and the one that is back then is refused.
func TestTakenOver(t *testing.T) {
	fs := newPair(t)
	must(t, run(t, fs, one, theirs, false))
	must(t, run(t, fs, one, another, true))
	must(t, run(t, fs, one, theirs, false))
	last, err := backup.LastRunAt(fs, theirs)
	must(t, err)
	fresh, err := store.OpenDirectory(store.DirectoryOptions{FS: fs, Path: two, StoreID: testStore, TakenOver: last})
	must(t, err)
	must(t, fresh.Close())
	o := opened(t, fs, two, another)
	wantRefused(t, o.Whose(), "of another copy") // it was made for the others
	o.close(t)
	must(t, run(t, fs, two, theirs, false))
	must(t, run(t, fs, two, theirs, false))
	wantRefused(t, run(t, fs, one, theirs, false), "of another copy")

	// One that was made anew and has not run yet misses its backups, too.
	fresh, err = store.OpenDirectory(store.DirectoryOptions{FS: fs, Path: "/one/third", StoreID: testStore, TakenOver: last})
	must(t, err)
	must(t, fresh.Close())
	wantRefused(t, run(t, fs, "/one/third", "/one/empty", false), "does not have the backups of this directory")
}

// TestMadeBefore: directories without tokens, of a version before there were any, get them from their next run.
func TestMadeBefore(t *testing.T) {
	fs := newPair(t)
	disk := newHookFS(fs)
	live := newLive(t, disk, "/one/live", table, lineageA)
	live.put(10, 100)
	before := openDir(t, fs, theirs)
	published := publish(t, before, live.cut())
	must(t, before.Close())
	d, err := store.OpenDirectory(store.DirectoryOptions{FS: fs, Path: one, StoreID: testStore})
	must(t, err)
	must(t, d.Close())
	copyDir(t, fs, one, two)

	o := opened(t, fs, one, theirs)
	must(t, o.Whose())
	if newest, ok, err := o.Newest(table, lineageA); err != nil || !ok || newest.ID != published.GetBackupId() || newest.OtherCopy {
		t.Errorf("newest before the first run: %v, %v, %v", newest, ok, err)
	}
	o.close(t)
	must(t, run(t, fs, one, theirs, false))
	o = opened(t, fs, one, theirs)
	if result, err := o.CarryForward(table, live.content()); err != nil || result == nil {
		t.Errorf("what was backed up before is not carried forward: %v, %v", result, err)
	}
	o.close(t)
	wantRefused(t, run(t, fs, two, theirs, false), "of another copy")
}

// TestMadeBeforeAndVanished: a directory without tokens that remembers a run does not begin anew where there is no backup.
func TestMadeBeforeAndVanished(t *testing.T) {
	fs := newPair(t)
	d, err := store.OpenDirectory(store.DirectoryOptions{FS: fs, Path: one, StoreID: testStore})
	must(t, err)
	must(t, d.WriteSchedule(&messages.ScheduleState{LastSuccess: timestamppb.New(noon)}))
	must(t, d.Close())
	wantRefused(t, run(t, fs, one, theirs, false), "does not have the backups of this directory, which was backed up last, at 2026-02-11")
	must(t, run(t, fs, one, theirs, true))
	must(t, run(t, fs, one, theirs, false))
}

// TestUnreadTokens: where a file with tokens cannot be read, nobody knows whose the backups are: runs are refused, and
// nothing is a word on the table's rows.
func TestUnreadTokens(t *testing.T) {
	const last, dirs = theirs + "/last_run.json", one + "/backup_dirs.json"
	write := func(path, text string) func(t *testing.T, fs vfs.FS) {
		return func(t *testing.T, fs vfs.FS) { must(t, store.WriteDurably(fs, path, []byte(text))) }
	}
	for name, test := range map[string]struct {
		spoil func(t *testing.T, fs vfs.FS)
		newer bool // of a later version, which must not be replaced
	}{
		"empty last run":     {spoil: write(last, "")},
		"no token":           {spoil: write(last, `{"directoryId":"x"}`)},
		"long last run":      {spoil: write(last, strings.Repeat(" ", 4<<10)+"{}")},
		"last run is newer":  {spoil: write(last, `{"formatVersion":99,"anything":1}`), newer: true},
		"directory":          {spoil: func(t *testing.T, fs vfs.FS) { must(t, fs.Remove(last)); must(t, fs.MkdirAll(last, 0o755)) }},
		"dirs, no version":   {spoil: write(dirs, `{"gormatVersion":1}`)},
		"empty dirs":         {spoil: write(dirs, "")},
		"long dirs":          {spoil: write(dirs, strings.Repeat(" ", 64<<10)+"{}")},
		"list of a newer":    {spoil: write(dirs, `{"formatVersion":99,"anything":1}`), newer: true},
		"both are no JSON":   {spoil: func(t *testing.T, fs vfs.FS) { write(last, "x")(t, fs); write(dirs, "x")(t, fs) }},
		"one bit of a token": {spoil: write(last, `{"formatVersion":1,"directoryId":"x","token":"y"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			fs := newPair(t)
			must(t, run(t, fs, one, theirs, false))
			live := newLive(t, newHookFS(fs), "/one/live", table, lineageA)
			live.put(10, 100)
			o := opened(t, fs, one, theirs)
			publish(t, o.Directory, live.cut())
			o.close(t)
			test.spoil(t, fs)

			o = opened(t, fs, one, theirs)
			if newest, ok, err := o.Newest(table, lineageA); ok || err == nil && name != "one bit of a token" {
				t.Errorf("newest is %v, %v", newest, err)
			}
			o.close(t)
			err := run(t, fs, one, theirs, false)
			if err == nil || len(messages.Hints(err)) == 0 && !test.newer {
				t.Errorf("run: %v, hints %q", err, messages.Hints(err))
			}
			switch adopt := run(t, fs, one, theirs, true); {
			case test.newer && errors.Is(adopt, store.ErrNewer), name == "directory":
			case test.newer || adopt != nil || !errors.Is(err, messages.ErrNotAdopted):
				t.Errorf("adopted: %v, after %v", adopt, err)
			default:
				must(t, run(t, fs, one, theirs, false))
			}
		})
	}
}
