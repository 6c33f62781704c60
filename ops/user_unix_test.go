//go:build !windows

package ops

import (
	"os"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

func TestCheckUser(t *testing.T) {
	dir := t.TempDir()
	if err := CheckUser(dir); err != nil {
		t.Errorf("a directory of our own is refused: %v", err)
	}
	if err := CheckUser(dir + "/missing"); err != nil {
		t.Errorf("a missing directory is not for CheckUser to refuse: %v", err)
	}
	err := compareUsers("d", 1000, 0)
	if err == nil || err.Error() != "directory d belongs to user 1000, this is user 0" || len(messages.Hints(err)) != 1 {
		t.Errorf("error is %v", err)
	}
	if os.Geteuid() != 0 {
		return // only root can give a directory away
	}
	if err := os.Chown(dir, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if err := CheckUser(dir); err == nil {
		t.Error("a directory of somebody else passes")
	}
}
