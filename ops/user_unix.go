//go:build !windows

package ops

import (
	"fmt"
	"os"
	"syscall"

	"github.com/gabiondb/gabion/messages"
)

// CheckUser refuses a directory that belongs to another user: the lock files of root would keep the service
// from its own directory. One that cannot be looked at is left to the open.
func CheckUser(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return compareUsers(dir, int(stat.Uid), os.Geteuid())
}

func compareUsers(dir string, owner, user int) error {
	if owner == user {
		return nil
	}
	return messages.WithHint(fmt.Errorf("directory %s belongs to user %d, this is user %d", dir, owner, user),
		fmt.Sprintf("run as the user who owns it: sudo -u '#%d' gabion ...", owner))
}
