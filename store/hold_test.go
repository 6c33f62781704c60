package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// childEnv makes the test binary hold the directory it names until its standard input ends.
const childEnv = "GABION_STORE_TEST_HOLD"

func holdInChild(dir string) int {
	h, err := Acquire(RealFS(), dir)
	if err != nil {
		fmt.Printf("refused held=%v hints=%d %v\n", errors.Is(err, ErrHeld), len(messages.Hints(err)), err)
		return 0
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := h.Release(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// startChild starts a process that acquires dir and returns what it says first, and what ends it.
func startChild(t *testing.T, dir string) (says string, pid int, end func(kill bool)) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childEnv+"="+dir)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	says, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("child said %q, then %v", says, err)
	}
	return strings.TrimSpace(says), command.Process.Pid, func(kill bool) {
		if kill {
			_ = command.Process.Kill()
			_ = command.Wait()
			return
		}
		_ = in.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	}
}

func checkHeldBy(t *testing.T, err error, pid int) {
	t.Helper()
	if !errors.Is(err, ErrHeld) {
		t.Fatalf("got %v, want ErrHeld", err)
	}
	if !strings.Contains(err.Error(), "process "+strconv.Itoa(pid)+" ") {
		t.Errorf("%q does not name process %d", err, pid)
	}
	checkHint(t, err)
}

func TestTwoHoldsInOneProcessConflict(t *testing.T) {
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		fs    vfs.FS
		paths []string
	}{
		"real":   {RealFS(), []string{real, link, link + "/.", filepath.Join(real, "..", filepath.Base(real))}},
		"memory": {vfs.NewMem(), []string{"/"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, first := range c.paths {
				h, err := Acquire(c.fs, mustRealPath(t, c.fs, first))
				if err != nil {
					t.Fatal(err)
				}
				for _, second := range c.paths {
					_, err := Acquire(c.fs, mustRealPath(t, c.fs, second))
					checkHeldBy(t, err, os.Getpid())
				}
				// A refusal has not loosened the lock.
				_, err = Acquire(c.fs, mustRealPath(t, c.fs, c.paths[0]))
				checkHeldBy(t, err, os.Getpid())
				if err := h.Release(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func mustRealPath(t *testing.T, fs vfs.FS, path string) string {
	t.Helper()
	real, err := RealPath(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

func TestRealPathOfWhatDoesNotExistYet(t *testing.T) {
	real := mustRealPath(t, RealFS(), t.TempDir())
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if got, want := mustRealPath(t, RealFS(), link+"/new"), filepath.Join(real, "new"); got != want {
		t.Errorf("RealPath = %s, want %s", got, want)
	}
	// A wrapper does not hide that the file system is the real one.
	if got := mustRealPath(t, &hookFS{FS: RealFS()}, link); got != real {
		t.Errorf("RealPath = %s, want %s", got, real)
	}
}

func TestDirectoryThroughASymlinkIsHeld(t *testing.T) {
	real := filepath.Join(t.TempDir(), "dir")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	open := func(path string) (*Directory, error) {
		return OpenDirectory(DirectoryOptions{FS: RealFS(), Path: path, CacheBytes: 1 << 20})
	}
	d, err := open(real)
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, RealFS(), real)
	_, err = open(link)
	checkHeldBy(t, err, os.Getpid())
	checkTree(t, before, tree(t, RealFS(), real))
	closeAll(t, d)
	if d, err = open(link); err != nil {
		t.Fatal(err)
	}
	closeAll(t, d)
}

func TestHoldConflictsWithAnotherProcess(t *testing.T) {
	dir := mustRealPath(t, RealFS(), t.TempDir())

	t.Run("the child is refused", func(t *testing.T) {
		h, err := Acquire(RealFS(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a refused process must not take the lock away as it ends
			says, _, end := startChild(t, dir)
			end(false)
			if !strings.HasPrefix(says, "refused held=true hints=1 ") ||
				!strings.Contains(says, "process "+strconv.Itoa(os.Getpid())+" ") {
				t.Errorf("child says %q", says)
			}
		}
		if err := h.Release(); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("the parent is refused", func(t *testing.T) {
		says, pid, end := startChild(t, dir)
		if says != "held" {
			t.Fatalf("child says %q", says)
		}
		before := tree(t, RealFS(), dir)
		_, err := Acquire(RealFS(), dir)
		checkHeldBy(t, err, pid)
		checkTree(t, before, tree(t, RealFS(), dir))
		end(false)
		checkFree(t, dir)
	})

	t.Run("a killed child holds nothing", func(t *testing.T) {
		says, _, end := startChild(t, dir)
		if says != "held" {
			t.Fatalf("child says %q", says)
		}
		end(true)
		if ok, err := Exists(RealFS(), filepath.Join(dir, holderFile)); !ok || err != nil {
			t.Fatalf("the killed child's note: %v, %v", ok, err)
		}
		checkFree(t, dir)
	})
}

func checkFree(t *testing.T, dir string) {
	t.Helper()
	h, err := Acquire(RealFS(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	if ok, err := Exists(RealFS(), filepath.Join(dir, holderFile)); ok || err != nil {
		t.Errorf("note of the holder after its release: %v, %v", ok, err)
	}
}

func TestHolderThatCannotBeReadIsStillAHolder(t *testing.T) {
	mem := vfs.NewMem()
	h, err := Acquire(mem, "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteSynced(mem, "/"+holderFile, []byte("{torn")); err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(mem, "/")
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestAcquireLeavesNothingHeldOnAFailure(t *testing.T) {
	mem := vfs.NewMem()
	for n := 0; ; n++ {
		fs := &hookFS{FS: mem}
		before, fired := failNth(n, errFault, func(o fileOp) bool { return o.kind == "lock" })
		fs.hooks(before, nil)
		h, err := Acquire(fs, "/")
		fs.hooks(nil, nil)
		if !fired() {
			if err != nil || n < 1 {
				t.Fatalf("after %d faults: %v", n, err)
			}
			if err := h.Release(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, errFault) || errors.Is(err, ErrHeld) {
			t.Errorf("operation %d failed: %v", n, err)
		}
	}
}
