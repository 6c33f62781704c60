//go:build !windows

package ops

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

func fileOf(name string, user, group uint32, mode fs.FileMode) owned {
	return owned{name: name, Owner: disk.Owner{User: user, Group: group, Mode: mode}}
}

// directoryOf is one whose new files get the group heir.
func directoryOf(name string, user, group uint32, mode fs.FileMode, heir uint32) owned {
	o := fileOf(name, user, group, mode|fs.ModeDir)
	o.heir = heir
	return o
}

func barredOf(o owned) owned {
	o.barred = true
	return o
}

// TestWhoMayChange is the rule of CheckUser, for users and file systems that a test cannot have.
func TestWhoMayChange(t *testing.T) {
	const root, a, b, group, nobody = 0, 1001, 1002, 3000, 65534
	volume := disk.Owner{User: root, Group: group, Mode: fs.ModeDir | fs.ModeSetgid | 0o775}
	private := func(user, group uint32) []owned {
		return []owned{fileOf("gabion.json", user, group, 0o600), fileOf("LOCK", user, group, 0o600), directoryOf("tables", user, group, 0o700, group)}
	}
	shared := []owned{fileOf("gabion.json", a, group, 0o660), fileOf("LOCK", a, group, 0o660), directoryOf("tables", a, group, 0o770, group)}
	made := func(user, group uint32, mode fs.FileMode) disk.Owner {
		return disk.Owner{User: user, Group: group, Mode: mode}
	}
	tests := map[string]struct {
		ground
		// tried is what a try makes, and want what the error and its hint say; empty for none.
		tried disk.Owner
		fails error
		want  []string
	}{
		"an empty volume, a member": {ground: ground{own: volume, user: a, admitted: true, made: made(a, group, 0o600)}},
		"own files in a volume":     {ground: ground{own: volume, user: a, files: private(a, group), made: made(a, group, 0o600)}},
		"root, a service's files": {ground: ground{own: volume, user: root, files: private(a, group), made: made(root, group, 0o600)}, tried: made(root, group, 0o600),
			want: []string{"directory d belongs to user 1001 (LOCK, tables), who could not use what user 0 makes there", "sudo -u '#1001'"}},
		"root, a service's gabion.json alone": {ground: ground{own: volume, user: root, files: private(a, group)[:1], made: made(root, group, 0o600)}, tried: made(root, group, 0o600),
			want: []string{"belongs to user 1001 (gabion.json)"}},
		"a service, root's gabion.json":         {ground: ground{own: volume, user: a, files: append([]owned{fileOf("gabion.json", root, 0, 0o644)}, private(a, group)[1:]...), made: made(a, group, 0o600)}},
		"root's files in a service's directory": {ground: ground{own: disk.Owner{User: a}, user: root, files: private(root, 0), made: made(root, 0, 0o600)}},
		"a member, shared files":                {ground: ground{own: volume, user: b, files: shared, made: made(b, group, 0o660)}},
		"root, shared files":                    {ground: ground{own: volume, user: root, files: shared, made: made(root, group, 0o660)}},
		"a member whose files are its own": {ground: ground{own: volume, user: b, files: shared, made: made(b, group, 0o600)}, tried: made(b, group, 0o600),
			want: []string{"belongs to user 1001 (LOCK, tables)", "leave dir_mode out, or set it to 0770"}},
		"a member whose files are of another group": {ground: ground{own: volume, user: b, files: shared, made: made(b, b, 0o660)}, tried: made(b, b, 0o660),
			want: []string{"find -H 'd' -type d -exec chmod g+s {} +"}},
		"tables that hand no group down": {ground: ground{own: volume, user: b, files: []owned{shared[0], shared[1], directoryOf("tables", a, group, 0o770, b)}, made: made(b, group, 0o660)},
			tried: made(b, group, 0o660), want: []string{"belongs to user 1001 (tables)", "chmod g+s"}},
		"a sticky volume": {ground: ground{own: disk.Owner{User: root, Group: group, Mode: volume.Mode | fs.ModeSticky}, user: b, files: shared, made: made(b, group, 0o660)},
			tried: made(b, group, 0o660), want: []string{"belongs to user 1001", "chmod -t"}},
		"a group that may read": {ground: ground{own: volume, user: root, files: []owned{fileOf("LOCK", a, group, 0o640)}, made: made(root, group, 0o640)},
			tried: made(root, group, 0o640), want: []string{"belongs to user 1001 (LOCK)"}},
		"several owners": {ground: ground{own: volume, user: root, files: []owned{fileOf("LOCK", b, group, 0o600), directoryOf("tables", a, group, 0o700, group)}, made: made(root, group, 0o600)},
			tried: made(root, group, 0o600), want: []string{"belongs to user 1001 (tables) and user 1002 (LOCK)", "chown -R 1001 'd'"}},
		"root's lock in a service's directory": {ground: ground{own: volume, user: root, files: []owned{fileOf("LOCK", root, 0, 0o600), directoryOf("tables", a, group, 0o700, group)}, made: made(root, group, 0o600)},
			tried: made(root, group, 0o600), want: []string{"belongs to user 1001 (tables)", "chown -R 1001 'd'"}},
		"what may not be used": {ground: ground{own: volume, user: b, admitted: true, files: []owned{barredOf(private(a, group)[0]), barredOf(private(a, group)[1]), private(a, group)[2]}, made: made(b, group, 0o600)},
			want: []string{"directory d: user 1002 may not read and write gabion.json (user 1001, group 3000, mode 0600), LOCK (user 1001, group 3000, mode 0600): permission denied", "chgrp -R 3000 'd'"}},
		"own files, without their bits": {ground: ground{own: volume, user: a, files: []owned{barredOf(fileOf("LOCK", a, group, 0o400))}, made: made(a, group, 0o600)},
			want: []string{"user 1001 may not read and write LOCK (user 1001, group 3000, mode 0400)", "chmod -R u+rwX 'd'"}},
		"root's lock, a service": {ground: ground{own: volume, user: a, files: []owned{barredOf(fileOf("LOCK", root, 0, 0o600)), directoryOf("tables", a, group, 0o700, group)}, made: made(a, group, 0o600)},
			want: []string{"may not read and write LOCK (user 0, group 0, mode 0600)", "chown -R 1001 'd'"}},

		"root, a service's empty directory": {ground: ground{own: disk.Owner{User: a, Mode: fs.ModeDir | 0o755}, user: root, made: made(root, 0, 0o600)}, tried: made(root, 0, 0o600),
			want: []string{"directory d is empty and belongs to user 1001", "chown 0 'd'"}},
		"root, an empty directory that lets it in": {ground: ground{own: disk.Owner{User: a}, user: root, admitted: true, made: made(root, 0, 0o600)}},
		"root, its own empty directory":            {ground: ground{own: disk.Owner{User: root}, user: root, made: made(root, 0, 0o600)}},
		"a user, somebody's empty directory":       {ground: ground{own: disk.Owner{User: a}, user: b, made: made(b, b, 0o600)}},

		"a network that squashes root":          {ground: ground{own: volume, user: root, files: private(nobody, nobody), made: made(root, 0, 0o600)}, tried: made(nobody, nobody, 0o600)},
		"a network that squashes root, empty":   {ground: ground{own: disk.Owner{User: nobody}, user: root, made: made(root, 0, 0o600)}, tried: made(nobody, nobody, 0o600)},
		"a file system with one owner":          {ground: ground{own: volume, user: b, files: private(a, group), made: made(b, group, 0o600)}, tried: made(a, group, 0o600)},
		"a file system with another group":      {ground: ground{own: volume, user: b, files: shared, made: made(b, b, 0o660)}, tried: made(b, group, 0o660)},
		"a file system that turns read-only":    {ground: ground{own: volume, user: root, files: private(a, group), made: made(root, group, 0o600)}, fails: syscall.EROFS},
		"a full disk":                           {ground: ground{own: volume, user: root, files: private(a, group), made: made(root, group, 0o600)}, fails: syscall.ENOSPC, want: []string{"belongs to user 1001"}},
		"a namespace's root in a foreign group": {ground: ground{own: disk.Owner{User: nobody, Group: nobody, Mode: volume.Mode}, user: root, admitted: true, made: made(root, nobody, 0o600)}},
		"a namespace's root, shared files": {ground: ground{own: disk.Owner{User: nobody, Group: nobody, Mode: volume.Mode}, user: root,
			files: []owned{fileOf("LOCK", nobody, nobody, 0o660), directoryOf("tables", nobody, nobody, 0o770, nobody)}, made: made(root, nobody, 0o660)}},
	}
	for name, c := range tests {
		c.ground.dir, c.ground.changes = "d", true
		tries := 0
		c.ground.try = func() (disk.Owner, error) { tries++; return c.tried, c.fails }
		err := c.ground.check()
		text := ""
		if err != nil {
			text = err.Error() + "\n" + strings.Join(messages.Hints(err), "\n")
		}
		if (err != nil) != (len(c.want) > 0) || err != nil && !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in %q", name, want, text)
			}
		}
		if tries > 1 || tries == 1 && c.tried == (disk.Owner{}) && c.fails == nil {
			t.Errorf("%s: %d files were made", name, tries)
		}
		// Who reads makes nothing.
		c.ground.changes, tries = false, 0
		if err := c.ground.check(); (err != nil) != strings.Contains(text, "may not") || tries > 0 {
			t.Errorf("%s: to read: %v, and %d files were made", name, err, tries)
		}
	}
}

func TestCheckUser(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(CheckUser(dir, 0), CheckReader(dir)); err != nil {
		t.Errorf("a directory of our own is refused: %v", err)
	}
	if err := CheckUser(dir+"/missing", 0); err != nil {
		t.Errorf("a missing directory is not for CheckUser to refuse: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		// What nobody may write is refused, also behind a link.
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if err := CheckUser(link, 0); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "may not read and write the directory") {
			t.Errorf("a directory that may not be written: %v", err)
		}
		if err := CheckReader(link); err != nil {
			t.Errorf("a directory that may be read: %v", err)
		}
		return // only root can give a directory away
	}
	for _, path := range []string{dir, link} {
		if err := os.Chown(dir, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if err := CheckUser(path, 0); err == nil {
			t.Error("root passes in an empty directory of somebody else")
		}
		if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil {
			t.Errorf("the check left %v, %v", entries, err)
		}
		// Its files say whose it is.
		if err := os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckUser(path, 0); err != nil {
			t.Errorf("own files in a directory of somebody else: %v", err)
		}
		if err := os.Remove(filepath.Join(dir, "LOCK")); err != nil {
			t.Fatal(err)
		}
	}
}
