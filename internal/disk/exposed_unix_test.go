//go:build !windows

package disk_test

import (
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// modesFS says of each path what it has in modes, and whose it is.
type modesFS struct {
	vfs.FS
	modes map[string]fs.FileMode
	owner map[string]int
}

func (m modesFS) Lstat(path string) (fs.FileInfo, error) {
	mode, ok := m.modes[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	uid := os.Geteuid()
	if other, ok := m.owner[path]; ok {
		uid = other
	}
	return modeInfo{mode, uint32(uid)}, nil
}

type modeInfo struct {
	mode fs.FileMode
	uid  uint32
}

func (i modeInfo) Name() string       { return "" }
func (i modeInfo) Size() int64        { return 0 }
func (i modeInfo) Mode() fs.FileMode  { return i.mode }
func (i modeInfo) ModTime() time.Time { return time.Time{} }
func (i modeInfo) IsDir() bool        { return i.mode.IsDir() }
func (i modeInfo) Sys() any           { return &syscall.Stat_t{Uid: i.uid} }

func TestExposed(t *testing.T) {
	m := modesFS{FS: vfs.NewMem(), modes: map[string]fs.FileMode{
		"/own": fs.ModeDir | 0o700, "/group": fs.ModeDir | 0o750, "/others": fs.ModeDir | 0o705, "/other user": fs.ModeDir | 0o777,
	}, owner: map[string]int{"/other user": os.Geteuid() + 1}}
	all := []string{"/own", "/group", "/others", "/other user", "/missing"}
	for mode, want := range map[fs.FileMode][]string{
		0o700: {"/group", "/others"}, 0o750: {"/others"}, 0o755: nil, fs.ModeDir | 0o750: {"/others"},
	} {
		if got := disk.Exposed(m, mode, all...); !slices.Equal(got, want) {
			t.Errorf("past mode %v: %q, want %q", mode, got, want)
		}
	}
	if got := disk.Exposed(vfs.NewMem(), 0o700, "/"); got != nil {
		t.Errorf("a file system without modes: %q", got)
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	if got := disk.Exposed(disk.OS(0), 0o700, dir); !slices.Equal(got, []string{dir}) {
		t.Errorf("a directory of the disk: %q", got)
	}
}

func TestChmodCommand(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		0o700: `find -H '/a b' '/it'\''s' ! -type l ! -type s -exec chmod u=rwX,g=,o= {} +`,
		0o750: `find -H '/a b' '/it'\''s' ! -type l ! -type s -exec chmod u=rwX,g=rX,o= {} +`,
		0o775: `find -H '/a b' '/it'\''s' ! -type l ! -type s -exec chmod u=rwX,g=rwX,o=rX {} +`,
	} {
		if got := disk.ChmodCommand(mode, "/a b", "/it's"); got != want {
			t.Errorf("of mode %v: %s", mode, got)
		}
	}
}

// TestChmodCommandLeavesOut runs the command: what a link leads to and a socket keep their modes.
func TestChmodCommandLeavesOut(t *testing.T) {
	root := t.TempDir()
	dir, outside := filepath.Join(root, "d"), filepath.Join(root, "outside")
	file, socket := filepath.Join(dir, "sub", "file"), filepath.Join(dir, "s")
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.WriteFile(outside, nil, 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	listener, err := net.Listen("unix", socket)
	must(t, err)
	defer listener.Close()
	must(t, os.Chmod(socket, 0o600))
	if out, err := exec.Command("sh", "-c", disk.ChmodCommand(0o770, dir)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o770, filepath.Dir(file): 0o770, file: 0o660, socket: 0o600, outside: 0o600} {
		info, err := os.Lstat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
}

func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte("hello"), 0o600))
	at := time.Unix(1_700_000_000, 123_456_000)
	must(t, os.Chtimes(path, at, at))
	info, err := os.Lstat(path)
	must(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	got := identify(t, path)
	if got.GetSize() != 5 || got.GetMtime() != at.UnixNano() || got.GetInode() != uint64(stat.Ino) || got.GetDevice() == "" {
		t.Errorf("identity is %v", got)
	}
	link := filepath.Join(filepath.Dir(path), "link")
	must(t, os.Symlink(path, link))
	if identify(t, link).GetInode() == got.GetInode() {
		t.Error("the identity of a link is that of the file behind it")
	}
}

func identify(t *testing.T, path string) *messages.FileIdentity {
	t.Helper()
	got, err := disk.OS(0).(interface {
		Identity(string) (*messages.FileIdentity, error)
	}).Identity(path)
	must(t, err)
	return got
}
