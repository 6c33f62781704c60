//go:build !windows

package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/internal/disk"
)

func TestKeepingToWhatADirectoryWasMadeWith(t *testing.T) {
	for made, want := range map[fs.FileMode]fs.FileMode{
		0o600: 0o700, 0o400: 0o700, 0o640: 0o750, 0o660: 0o770, 0o620: 0o700,
		// What others may do is nobody's wish, but what a umask left.
		0o644: 0o700, 0o604: 0o700, 0o664: 0o770, 0o666: 0o770, 0o662: 0o770, 0o642: 0o700,
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, disk.InfoFile), nil, 0o600))
		must(t, os.Chmod(filepath.Join(dir, disk.InfoFile), made))
		if got := disk.ModeAt(disk.Keeping(disk.OS(0), dir), filepath.Join(dir, "x")); got != want {
			t.Errorf("beside a file of mode %o a directory gets %o, want %o", made, got, want)
		}
		if got := disk.ModeAt(disk.Keeping(disk.OS(0o755), dir), dir); got != 0o755 {
			t.Errorf("0755 was asked for, and %o is made", got)
		}
	}
}

// A link, or a directory, in place of the file says nothing.
func TestKeepingToAFileAlone(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "elsewhere"), nil, 0o600))
	must(t, os.Chmod(filepath.Join(dir, "elsewhere"), 0o660))
	must(t, os.Symlink("elsewhere", filepath.Join(dir, disk.InfoFile)))
	if got := disk.ModeAt(disk.Keeping(disk.OS(0), dir), dir); got != disk.DefaultDirMode {
		t.Errorf("beside a link a directory gets %o", got)
	}
}

// Each directory has its own mode, also one within the other, and the first has what lies in none.
func TestKeepingToSeveral(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	root := t.TempDir()
	modes := map[string]fs.FileMode{"d": 0o660, "d/backups": 0o600, "d/backups2": 0o660, "away": 0o640}
	fsys := disk.Within(disk.OS(0), root, nil)
	for _, name := range []string{"d", "d/backups", "away", "new"} {
		dir := filepath.Join(root, name)
		must(t, os.Mkdir(dir, 0o700))
		if mode, ok := modes[name]; ok {
			must(t, os.WriteFile(filepath.Join(dir, disk.InfoFile), nil, 0o600))
			must(t, os.Chmod(filepath.Join(dir, disk.InfoFile), mode))
		}
		fsys = disk.Within(disk.Keeping(fsys, dir), dir, nil)
	}
	for name, want := range map[string]fs.FileMode{
		"d/tables/t": 0o770, "d/backups/t": 0o700, "d/backups2/t": 0o770, "away/t": 0o750, "new/t": 0o770, "else/t": 0o770,
	} {
		path := filepath.Join(root, name)
		must(t, fsys.MkdirAll(path, 0o777))
		must(t, closed(fsys.Create(filepath.Join(path, "f"), "")))
		for path, want := range map[string]fs.FileMode{path: want, filepath.Join(path, "f"): want & 0o666} {
			info, err := os.Stat(path)
			must(t, err)
			if info.Mode().Perm() != want {
				t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
			}
		}
	}
}
