package test

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// diskRules are the rules about file operations.
var diskRules = []rule{
	{"files are touched through vfs.FS alone", each(findDisk), map[string]string{
		"actors/a.go":     "package actors\nimport \"os\"\nvar x = os.Getpid()",
		"store/a.go":      "package store\nimport \"os\"\nvar x, err = os.Stat(\"x\")",
		"backup/a.go":     "package backup\nimport \"os\"\nvar x, err = os.Open(\"x\")",
		"cmd/gabion/a.go": "package main\nimport \"github.com/cockroachdb/pebble/v2/vfs\"\nvar x = vfs.Default",
		"backup/b.go":     "package backup\nimport \"github.com/cockroachdb/pebble/v2/vfs\"\nvar x = vfs.Default",
		"messages/a.go":   "package messages\nimport \"path/filepath\"\nvar x, err = filepath.Glob(\"*\")",
	}},
}

// reaching names what reaches the operating system's files: of a package all, or the names listed.
var reaching = map[string][]string{
	"io/ioutil": nil, "os": nil, "os/exec": nil, "path/filepath": nil, "syscall": nil, "golang.org/x/sys/unix": nil,
	"github.com/cockroachdb/pebble/v2/vfs": {"Default"},
}

// diskUses are the uses that a room, or one file, may make of reaching. internal/disk, cmd and test may make any, but that cmd
// has no use for vfs.Default: what that makes gets its mode from the umask.
var diskUses = map[string]string{
	"backup":                  "os.ErrExist os.ErrNotExist",
	"ops":                     "os.ErrDeadlineExceeded os.ErrNotExist os.ErrPermission os.FileInfo syscall.ECONNREFUSED syscall.ENOTDIR",
	"ops/socketbare_linux.go": "os.Chmod os.Lstat os.Remove syscall.Fchmod syscall.RawConn",
	"ops/socketpath.go": "os.Chmod os.FileMode os.Lstat os.MkdirTemp os.Mkdir os.ModeSocket os.Remove os.RemoveAll os.Rename " +
		"os.Geteuid os.SameFile os.Symlink os.TempDir filepath.Base filepath.Dir filepath.Join",
	"ops/alone.go":     "os.MkdirTemp",
	"ops/user_unix.go": "os.Geteuid syscall.EROFS",
	"store": "os.ErrExist os.ErrNotExist os.ErrPermission os.FileMode os.LinkError os.PathError syscall.EAGAIN syscall.Errno vfs.Default " +
		"os.Args os.Getpid os.Hostname filepath.Abs filepath.Base filepath.Dir filepath.EvalSymlinks filepath.Join",
	"gabiontest":                "syscall.EIO syscall.ENOSPC",
	"messages/hint.go":          "syscall.EMFILE syscall.ENFILE",
	"store/hold_unix.go":        "syscall.EINTR syscall.EWOULDBLOCK syscall.Flock syscall.LOCK_EX syscall.LOCK_NB", // of a file that vfs.FS opened
	"store/space.go":            "syscall.EDQUOT syscall.EIO syscall.EISDIR syscall.ENOSPC syscall.ENOTDIR syscall.EROFS",
	"bench/machine_linux.go":    "os.ReadFile syscall.Statfs syscall.Statfs_t",
	"bench/usage_unix.go":       "syscall.Getrusage syscall.RUSAGE_SELF syscall.Rusage",
	"store/descriptors_unix.go": "syscall.Getrlimit syscall.RLIMIT_NOFILE syscall.Rlimit",
}

func findDisk(s *source) (faults []string) {
	if s.test || s.room == "internal/disk" || s.room != "cmd" && floors[s.room] >= floors["cmd"] {
		return nil
	}
	allowed := strings.Fields(diskUses[s.room] + " " + diskUses[s.path])
	for from, names := range reaching {
		if s.room == "cmd" && names == nil {
			continue
		}
		for use, name := range uses(s, from) {
			full := path.Base(from) + "." + name
			if (names == nil || slices.Contains(names, name)) && !slices.Contains(allowed, full) {
				faults = append(faults, fmt.Sprintf("%s: uses %s", s.at(use), full))
			}
		}
	}
	return faults
}
