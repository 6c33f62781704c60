//go:build !windows

package disk_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

const precious = "not Gabion's"

// odds makes what may stand in a file's place, by kind, and returns the file that links lead to.
func odds(t *testing.T, dir string) (paths map[string]string, behind string) {
	t.Helper()
	behind = filepath.Join(t.TempDir(), "behind")
	must(t, os.WriteFile(behind, []byte(precious), 0o600))
	paths = map[string]string{}
	for _, kind := range []string{"symbolic link", "link to nothing", "FIFO", "directory", "socket"} {
		paths[kind] = filepath.Join(dir, "odd"+string(rune('a'+len(paths))))
	}
	must(t, os.Symlink(behind, paths["symbolic link"]))
	must(t, os.Symlink(filepath.Join(dir, "missing"), paths["link to nothing"]))
	must(t, syscall.Mkfifo(paths["FIFO"], 0o600))
	must(t, os.Mkdir(paths["directory"], 0o700))
	listener, err := net.Listen("unix", paths["socket"])
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return paths, behind
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	real := disk.OS(0)
	opens := map[string]func(path string) error{
		"open":             func(path string) error { return closed(real.Open(path)) },
		"open read-write":  func(path string) error { return closed(real.OpenReadWrite(path, "")) },
		"create":           func(path string) error { return closed(real.Create(path, "")) },
		"reuse for write":  func(path string) error { return closed(real.ReuseForWrite(path, path+".new", "")) },
		"lock":             func(path string) error { return closed(real.Lock(path)) },
		"link":             func(path string) error { return real.Link(path, path+".new") },
		"read with limit":  func(path string) error { _, err := disk.ReadFile(real, path, 100); return err },
		"read of the head": func(path string) error { _, err := disk.ReadHead(real, path, 100); return err },
	}
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			paths, behind := odds(t, socketDir(t))
			for kind, path := range paths {
				err := open(path)
				var found *disk.KindError
				if !errors.Is(err, disk.ErrKind) || !errors.As(err, &found) {
					t.Errorf("a %s is opened: %v", kind, err)
					continue
				}
				hint := "remove the " + kind
				if strings.Contains(kind, "link") {
					hint = "Gabion follows no link"
				}
				if found.Path != path || !strings.Contains(strings.Join(messages.Hints(err), " "), hint) {
					t.Errorf("error of a %s names %q, with the hints %q", kind, found.Path, messages.Hints(err))
				}
				if kind != "link to nothing" && found.Found != kind {
					t.Errorf("a %s is found to be a %s", kind, found.Found)
				}
				if errors.Is(err, syscall.EISDIR) != (kind == "directory") {
					t.Errorf("error of a %s matches EISDIR: %v", kind, errors.Is(err, syscall.EISDIR))
				}
			}
			if data, err := os.ReadFile(behind); string(data) != precious || err != nil {
				t.Errorf("the file behind the link has %q: %v", data, err)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(paths["FIFO"]), "missing")); err == nil {
				t.Error("a file was made behind a link")
			}
		})
	}
}

// socketDir is short enough for a socket's path.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "d")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func closed[C io.Closer](c C, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

func TestCreateLeavesOtherNamesOfTheFile(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, "mine"), filepath.Join(dir, "other")
	must(t, os.WriteFile(other, []byte(precious), 0o600))
	must(t, os.Link(other, mine))
	f, err := disk.OS(0).Create(mine, "")
	must(t, err)
	_, err = f.Write([]byte("x"))
	must(t, errors.Join(err, f.Close()))
	if data, err := os.ReadFile(other); string(data) != precious || err != nil {
		t.Errorf("the other name has %q: %v", data, err)
	}
}

// lockVariable names what a child of TestLockOfAnotherProcess locks.
const lockVariable = "GABION_TEST_LOCK"

// TestLockOfAnotherProcess: a lock conflicts with that of another process, and is free once it is closed.
func TestLockOfAnotherProcess(t *testing.T) {
	if path := os.Getenv(lockVariable); path != "" { // the child
		before := nextDescriptor(t)
		err := closed(disk.OS(0).Lock(path))
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			t.Fatal(err)
		}
		if nextDescriptor(t) != before {
			t.Fatal("the file of a lock stays open")
		}
		if err != nil {
			t.Fatal("held by another process")
		}
		return
	}
	path := filepath.Join(t.TempDir(), "LOCK")
	other := func() string {
		child := exec.Command(os.Args[0], "-test.run=^TestLockOfAnotherProcess$")
		child.Env = append(os.Environ(), lockVariable+"="+path)
		out, err := child.CombinedOutput()
		if err == nil {
			return "locked"
		}
		return string(out)
	}
	held, err := disk.OS(0).Lock(path)
	must(t, err)
	if got := other(); !strings.Contains(got, "held by another process") {
		t.Errorf("beside the lock another process says: %s", got)
	}
	must(t, held.Close())
	if got := other(); got != "locked" {
		t.Errorf("after the lock another process says: %s", got)
	}
	link := path + ".link"
	must(t, os.Symlink(path, link))
	held, err = disk.OS(0).Lock(path)
	must(t, err)
	if err := closed(disk.OS(0).Lock(link)); !errors.Is(err, disk.ErrKind) {
		t.Errorf("a link to what is locked: %v", err)
	}
	must(t, held.Close())
}

// nextDescriptor is the number of the next file that is opened.
func nextDescriptor(t *testing.T) uintptr {
	t.Helper()
	f, err := os.Open(os.DevNull)
	must(t, err)
	defer func() { _ = f.Close() }()
	return f.Fd()
}

func TestDevicesAreNoFiles(t *testing.T) {
	var found *disk.KindError
	if err := closed(disk.OS(0).Open(os.DevNull)); !errors.As(err, &found) || found.Found != "device" {
		t.Errorf("the null device is opened: %v", err)
	}
}

func TestOpeningAFileChangesNoMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	real := disk.OS(0o750)
	must(t, closed(real.Open(path)))
	must(t, closed(real.OpenReadWrite(path, "")))
	must(t, closed(real.Lock(path)))
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
}

func TestLockTruncatesNothing(t *testing.T) {
	dir := t.TempDir()
	lock, other := filepath.Join(dir, "LOCK"), filepath.Join(dir, "other")
	must(t, os.WriteFile(other, []byte(precious), 0o600))
	must(t, os.Link(other, lock))
	real := disk.OS(0)
	held, err := real.Lock(lock)
	must(t, err)
	for _, path := range []string{lock, other} {
		if err := closed(disk.OS(0o750).Lock(path)); err == nil || err.Error() != "lock held by current process" {
			t.Errorf("locked twice, as %s: %v", filepath.Base(path), err)
		}
	}
	must(t, held.Close())
	must(t, closed(real.Lock(lock)))
	if data, err := os.ReadFile(other); string(data) != precious || err != nil {
		t.Errorf("the locked file has %q: %v", data, err)
	}
}

func TestModes(t *testing.T) {
	for _, c := range []struct {
		dirMode   fs.FileMode
		umask     int
		dir, file fs.FileMode
	}{
		{0, 0o022, 0o700, 0o600},
		{0, 0, 0o700, 0o600},
		{0o750, 0o022, 0o750, 0o640},
		{0o750, 0o077, 0o750, 0o640},
		{0o770, 0o022, 0o770, 0o660},
	} {
		func() {
			defer syscall.Umask(syscall.Umask(c.umask))
			real, root := disk.OS(c.dirMode), t.TempDir()
			dir := filepath.Join(root, "a", "b")
			must(t, real.MkdirAll(dir, 0o777))
			must(t, closed(real.Create(filepath.Join(dir, "created"), "")))
			must(t, closed(real.OpenReadWrite(filepath.Join(dir, "opened"), "")))
			must(t, closed(real.Lock(filepath.Join(dir, "locked"))))
			for path, want := range map[string]fs.FileMode{
				"a": c.dir, "a/b": c.dir, "a/b/created": c.file, "a/b/opened": c.file, "a/b/locked": c.file,
			} {
				info, err := os.Stat(filepath.Join(root, path))
				must(t, err)
				if got := info.Mode().Perm(); got != want {
					t.Errorf("dir mode %o, umask %o: %s has mode %o, want %o", c.dirMode, c.umask, path, got, want)
				}
			}
		}()
	}
}

func TestWidenedDirectoryKeepsTheGroupOfItsParent(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o775|fs.ModeSetgid))
	plain, widened := filepath.Join(dir, "plain"), filepath.Join(dir, "widened")
	must(t, os.Mkdir(plain, 0o700))
	must(t, disk.OS(0o750).MkdirAll(widened, 0))
	want, err := os.Stat(plain) // macOS hands the group down without the bit
	must(t, err)
	info, err := os.Stat(widened)
	must(t, err)
	if info.Mode()&fs.ModeSetgid != want.Mode()&fs.ModeSetgid || info.Mode().Perm() != 0o750 {
		t.Errorf("mode is %v, beside %v", info.Mode(), want.Mode())
	}
}

func TestReadNamedWaitsForNobody(t *testing.T) {
	paths, _ := odds(t, socketDir(t))
	for _, kind := range []string{"FIFO", "directory", "socket", "link to nothing"} {
		if _, err := disk.ReadNamed(paths[kind], 100); err == nil {
			t.Errorf("a %s is read", kind)
		}
	}
}

func TestStatFollowsNoLinkButToADirectory(t *testing.T) {
	paths, _ := odds(t, socketDir(t))
	real := disk.OS(0)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(paths["directory"], link))
	if info, err := real.Stat(link); err != nil || !info.IsDir() {
		t.Errorf("a link to a directory: %v", err)
	}
	for _, kind := range []string{"symbolic link", "link to nothing"} {
		if _, err := real.Stat(paths[kind]); !errors.Is(err, disk.ErrKind) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a %s: %v", kind, err)
		}
	}
	if _, err := real.Stat(filepath.Join(paths["directory"], "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := real.MkdirAll(paths["link to nothing"], 0); !errors.Is(err, disk.ErrKind) {
		t.Errorf("a directory in place of a link to nothing: %v", err)
	}
}

func TestListWaitsForNothing(t *testing.T) {
	paths, _ := odds(t, socketDir(t))
	real := disk.OS(0)
	for kind, path := range paths {
		if kind == "directory" {
			continue
		}
		if _, err := real.List(path); err == nil {
			t.Errorf("a %s is listed", kind)
		}
		if err := closed(real.OpenDir(path)); err == nil {
			t.Errorf("a %s is opened as a directory", kind)
		}
	}
	must(t, closed(real.OpenDir(paths["directory"])))
	if names, err := real.List(paths["directory"]); err != nil || len(names) > 0 {
		t.Errorf("an empty directory lists %q: %v", names, err)
	}
}

func TestFilesAreReadAndWritten(t *testing.T) {
	real, dir := disk.OS(0), t.TempDir()
	path := filepath.Join(dir, "a")
	f, err := real.Create(path, "")
	must(t, err)
	must(t, f.Preallocate(0, 1<<20))
	_, err = f.Write([]byte("hello"))
	must(t, err)
	_, err = f.SyncTo(5)
	must(t, errors.Join(err, f.SyncData(), f.Sync(), f.Prefetch(0, 5), f.Close()))
	f, err = real.ReuseForWrite(path, path+"b", "")
	must(t, err)
	_, err = f.WriteAt([]byte("J"), 0)
	must(t, errors.Join(err, f.Close()))
	if data, err := disk.ReadFile(real, path+"b", 5); string(data) != "Jello" || err != nil {
		t.Errorf("content is %q: %v", data, err)
	}
	f, err = real.Open(path+"b", vfs.SequentialReadsOption, vfs.RandomReadsOption)
	must(t, err)
	if info, err := f.Stat(); err != nil || info.Size() != 5 || info.DeviceID() != (vfs.DeviceID{}) {
		t.Errorf("stat of an open file: %v", err)
	}
	must(t, f.Close())
	if vfs.Root(real) != vfs.Default {
		t.Error("what asks for the root does not find the operating system's")
	}
}

// applied is an option that counts the files it is applied to.
type applied struct{ files *int }

func (a applied) Apply(vfs.File) { *a.files++ }

func TestOpenOptionsAreApplied(t *testing.T) {
	path, files := filepath.Join(t.TempDir(), "file"), 0
	real := disk.OS(0)
	must(t, closed(real.OpenReadWrite(path, "", applied{&files})))
	must(t, closed(real.OpenReadWrite(path, "", applied{&files})))
	must(t, closed(real.Open(path, applied{&files}, applied{&files})))
	if files != 4 {
		t.Errorf("options were applied %d times, want 4", files)
	}
}

// TestMadeByOthersMeanwhile: two that make the same file, or the same directory, at one time both have it.
func TestMadeByOthersMeanwhile(t *testing.T) {
	real, root := disk.OS(0), t.TempDir()
	for i := range 200 {
		dir := filepath.Join(root, fmt.Sprint(i), "a", "b")
		var all sync.WaitGroup
		begin := make(chan struct{})
		for range 4 {
			all.Go(func() {
				<-begin
				if err := real.MkdirAll(dir, 0); err != nil {
					t.Errorf("make a directory that another makes: %v", err)
				}
				if err := closed(real.OpenReadWrite(filepath.Join(dir, "file"), "")); err != nil {
					t.Errorf("open a file that another makes: %v", err)
				}
				if err := closed(real.Create(filepath.Join(dir, "new"), "")); err != nil {
					t.Errorf("make a file that another makes: %v", err)
				}
			})
		}
		close(begin)
		all.Wait()
	}
	file := filepath.Join(root, "0", "a", "b", "file")
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if err := real.MkdirAll(path, 0); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("a directory in place of a file, or below it: %v", err)
		}
	}
}
