//go:build !windows

package ops

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The mode of the socket does not depend on the umask, and what it is made in lets nobody else in.
func TestSocketWithoutUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{})
	info, err := os.Lstat(filepath.Join(h.dir, "gabion.sock"))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
}
