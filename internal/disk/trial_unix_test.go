//go:build !windows

package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gabiondb/gabion/internal/disk"
)

// TestTrialsAreSwept: what a crash left of TryOwner goes with the next probe, and what only looks like it stays.
func TestTrialsAreSwept(t *testing.T) {
	dir := t.TempDir()
	left, foreign := ".probe-owner-ABCDEFGHIJKLMNOPQRSTUVWXYZ", []string{".probe-owner-5", ".probe-owner-abcdefghijklmnopqrstuvwxyz", ".probe-owner-ABCDEFGHIJKLMNOPQRSTUVWXYZ2"}
	for _, name := range append(foreign, left) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fsys := disk.OS(0)
	disk.Probe(fsys, dir)
	if _, err := disk.TryOwner(fsys, dir); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(foreign) {
		t.Errorf("left: %v, %v", entries, err)
	}
	for _, entry := range entries {
		if disk.IsTrial(entry.Name()) {
			t.Errorf("%s is left", entry.Name())
		}
	}
}
