//go:build !windows

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/internal/disk"
)

// Numbers that no user and no group of a machine has.
const (
	userA, userB = 65501, 65502
	members      = 65503
)

// users runs gabion as other users, in a directory that all of them can enter. Where the tests do not run as root, everybody is
// the user of the tests.
type users struct {
	t       *testing.T
	at, bin string
	root    bool
}

func newUsers(t *testing.T) *users {
	u := &users{t: t, root: os.Geteuid() == 0}
	var err error
	if u.at, err = os.MkdirTemp("", "gabion-users-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.must(os.RemoveAll(u.at)) })
	u.must(os.Chmod(u.at, 0o711))
	u.bin = filepath.Join(u.at, "gabion") // by which TestMain knows what it is to be
	self, err := os.Executable()
	u.must(err)
	from, err := os.Open(self)
	u.must(err)
	defer from.Close()
	to, err := os.OpenFile(u.bin, os.O_CREATE|os.O_WRONLY, 0o755)
	u.must(err)
	_, err = io.Copy(to, from)
	u.must(errors.Join(err, to.Chmod(0o755), to.Close()))
	return u
}

func (u *users) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

// volume makes what an orchestrator mounts: root's, and a group's.
func (u *users) volume(name string) string {
	u.t.Helper()
	dir := filepath.Join(u.at, name)
	u.must(os.Mkdir(dir, 0o755))
	if u.root {
		u.must(os.Chown(dir, 0, members))
	}
	u.must(os.Chmod(dir, 0o775|fs.ModeSetgid))
	return dir
}

func (u *users) command(ctx context.Context, user uint32, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, u.bin, args...)
	cmd.Dir, cmd.Env = u.at, []string{}
	if u.root && user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{members}}}
	}
	return cmd
}

// run runs gabion to its end.
func (u *users) run(user uint32, args ...string) (said string, code int) {
	u.t.Helper()
	// A serve that is not refused would go on.
	ctx, cancel := context.WithTimeout(u.t.Context(), patienceForScript)
	defer cancel()
	cmd := u.command(ctx, user, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		u.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// does is run, which must succeed.
func (u *users) does(user uint32, args ...string) {
	u.t.Helper()
	if said, code := u.run(user, args...); code != 0 {
		u.t.Errorf("user %d, %q: exit code %d: %s", user, args, code, said)
	}
}

// isRefused is run, which must fail and say what it says.
func (u *users) isRefused(user uint32, says []string, args ...string) {
	u.t.Helper()
	said, code := u.run(user, args...)
	for _, want := range says {
		if code != 1 || !strings.Contains(said, want) {
			u.t.Errorf("user %d, %q: exit code %d, without %q: %s", user, args, code, want, said)
		}
	}
}

// serves serves dir until it is ready, and ends it by a signal.
func (u *users) serves(user uint32, end os.Signal, dir string, args ...string) {
	u.t.Helper()
	cmd := u.command(u.t.Context(), user, append([]string{"serve", "--dir", dir, "--tables", "fruit"}, args...)...)
	stderr, err := cmd.StderrPipe()
	u.must(err)
	u.must(cmd.Start())
	var said strings.Builder
	ready := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if !ready && strings.Contains(lines.Text(), "msg=ready") {
			ready = true
			u.must(cmd.Process.Signal(end))
		}
	}
	err = cmd.Wait()
	if !ready || end != os.Kill && err != nil {
		u.t.Errorf("user %d serves %s: %v: %s", user, dir, err, said.String())
	}
}

func (u *users) owners(dir string) map[uint32]int {
	u.t.Helper()
	found := make(map[uint32]int)
	u.must(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		owner, err := disk.OwnerOf(path)
		found[owner.User]++
		return err
	}))
	return found
}

// TestMembersShareAVolume has the members of a group use a volume that belongs to none of them: they serve it in turn, and work
// in it in place, also after a server of another one was killed.
func TestMembersShareAVolume(t *testing.T) {
	u := newUsers(t)
	dir := u.volume("volume")
	u.serves(userA, os.Kill, dir, "--dir-mode", "0770")
	// What a kill at the worst instant leaves: a socket, and a directory that only its user can look into.
	aside := filepath.Join(dir, "gabion.sock.aside")
	u.must(os.Mkdir(aside, 0o700))
	u.must(os.WriteFile(filepath.Join(aside, "s"), nil, 0o600))
	if u.root {
		u.must(errors.Join(os.Chown(aside, userA, members), os.Chown(filepath.Join(aside, "s"), userA, members)))
	} else {
		u.must(errors.Join(os.Chmod(filepath.Join(dir, "gabion.sock"), 0), os.Chmod(aside, 0o500)))
		t.Cleanup(func() { u.must(os.Chmod(aside, 0o700)) })
	}
	u.does(userB, "put", "fruit", "apple", "red", "--dir", dir)
	u.does(userB, "backup", "--dir", dir)
	u.serves(userB, os.Interrupt, dir)
	u.does(userA, "put", "fruit", "apple", "green", "--dir", dir)
	u.does(userA, "backup", "--dir", dir)
	u.does(userB, "restore", "fruit", "--dir", dir)
	if u.root {
		u.does(0, "put", "fruit", "apple", "yellow", "--dir", dir)
		u.serves(userA, os.Interrupt, dir)
	}
	u.serves(userB, os.Interrupt, dir)
	// A mode of its own that keeps others out is refused, where others share.
	if u.root {
		u.isRefused(userB, []string{"belongs to user 65501 (LOCK, tables)", "leave dir_mode out"}, "serve", "--dir", dir, "--dir-mode", "0700")
	}
	// Without the bit that hands the group down, files would be of other groups.
	if u.root {
		u.must(errors.Join(os.Chmod(dir, 0o775), os.Chmod(filepath.Join(dir, "tables"), 0o770)))
		u.isRefused(userB, []string{"belongs to user 65501 (LOCK, tables)", "chmod g+s"}, "put", "fruit", "apple", "green", "--dir", dir)
		u.must(errors.Join(os.Chmod(dir, 0o775|fs.ModeSetgid|fs.ModeSticky), os.Chmod(filepath.Join(dir, "tables"), 0o770|fs.ModeSetgid)))
		u.isRefused(userB, []string{"chmod -t"}, "put", "fruit", "apple", "green", "--dir", dir)
	}
}

// TestWhatAUserMayNotUse looks for each file that keeps a user out, and its owner, in the error.
func TestWhatAUserMayNotUse(t *testing.T) {
	u := newUsers(t)
	dir := u.volume("volume")
	u.serves(userA, os.Interrupt, dir)
	lock := filepath.Join(dir, "LOCK")
	if !u.root {
		u.must(os.Chmod(lock, 0o400))
		u.isRefused(0, []string{"may not read and write LOCK (user " + strconv.Itoa(os.Geteuid()), "mode 0400", "hint: let this user use its own files: chmod -R u+rwX "}, "put", "fruit", "a", "b", "--dir", dir)
		u.does(0, "tables", "--dir", dir) // gabion.json is a lock for those who read
		return
	}
	u.isRefused(userB, []string{"user 65502 may not read gabion.json (user 65501, group 65503, mode 0600), tables (user 65501, group 65503, mode 0700)",
		"sudo -u '#65501'", "--user 65501", "chmod g+rwX {} +"}, "tables", "--dir", dir)
	u.isRefused(userB, []string{"may not read and write gabion.json", "LOCK"}, "put", "fruit", "a", "b", "--dir", dir)
	// A file of root's among those of the service.
	u.must(os.Chown(lock, 0, 0))
	u.isRefused(userA, []string{"may not read and write LOCK (user 0, group 0, mode 0600)", "chown -R 65501"}, "serve", "--dir", dir)
	u.isRefused(0, []string{"belongs to user 65501 (tables)", "chown -R 65501"}, "serve", "--dir", dir)
}

// TestAGroupMayRead has a member read what the group may not lock for writing.
func TestAGroupMayRead(t *testing.T) {
	u := newUsers(t)
	dir := u.volume("volume")
	u.serves(userA, os.Interrupt, dir, "--dir-mode", "0750")
	u.does(userA, "put", "fruit", "apple", "red", "--dir", dir)
	u.does(userA, "backup", "--dir", dir)
	before := u.owners(dir)
	for _, args := range [][]string{{"tables"}, {"get", "fruit", "apple"}, {"export", "fruit"}, {"backups"}, {"health"}, {"get", "fruit", "apple", "--backup", "1"}} {
		u.does(userB, append(args, "--dir", dir)...)
	}
	if after := u.owners(dir); len(after) != 1 || after[userA] != before[userA] {
		t.Errorf("readers left files: %v, before %v", after, before)
	}
	if u.root {
		u.isRefused(userB, []string{"may not read and write LOCK (user 65501, group 65503, mode 0640), tables"}, "put", "fruit", "a", "b", "--dir", dir)
	}
}

// TestRootLeavesNothing runs each command that writes as root, in a directory whose files are a service's, and in one that waits
// for the service.
func TestRootLeavesNothing(t *testing.T) {
	u := newUsers(t)
	dir, empty, backups := filepath.Join(u.at, "d"), filepath.Join(u.at, "empty"), filepath.Join(u.at, "backups")
	for _, path := range []string{dir, empty, backups} {
		u.must(os.Mkdir(path, 0o755))
		if u.root {
			u.must(os.Chown(path, userA, userA))
		}
	}
	u.serves(userA, os.Interrupt, dir)
	if !u.root {
		return // a user makes files of its own alone
	}
	for _, args := range [][]string{
		{"serve", "--dir", dir}, {"put", "fruit", "a", "b", "--dir", dir}, {"backup", "--dir", dir}, {"restore", "fruit", "--dir", dir},
		{"verify", "--dir", dir}, {"prune", "--keep", "1", "--dir", dir}, {"tables", "create", "other", "--dir", dir}, {"demo", "--dir", dir, "--input", "/dev/null"},
		{"serve", "--dir", empty, "--tables", "fruit"}, {"restore", "--set", "x", "--dir", empty, "--backup-dir", backups},
	} {
		u.isRefused(0, []string{"user 65501", "who could not use what user 0 makes there", "hint: run as the user who owns it: sudo -u '#65501' gabion ..., or --user 65501 for a container"}, args...)
	}
	u.does(0, "tables", "--dir", dir)
	for path, want := range map[string]int{dir: 0, empty: 0, backups: 0} {
		if got := u.owners(path)[0]; got != want {
			t.Errorf("%d files in %s are root's", got, path)
		}
	}
	// The owner of the mount point says nothing where the files are root's.
	u.must(os.Chmod(empty, 0o777))
	u.serves(0, os.Interrupt, empty)
	u.must(os.Chmod(empty, 0o755))
	u.serves(0, os.Interrupt, empty)
	// Backups that are another user's are warned of; no table waits for that.
	u.must(os.WriteFile(filepath.Join(backups, "LOCK"), nil, 0o600))
	u.must(os.Chown(filepath.Join(backups, "LOCK"), userA, userA))
	u.isRefused(0, []string{"belongs to user 65501 (LOCK)"}, "backup", "--dir", empty, "--backup-dir", backups)
}
