package disk

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultDirMode is the mode of a directory that is made: nobody but its owner looks into it. Windows knows none.
const DefaultDirMode fs.FileMode = 0o700

// InfoFile is the name of the first file in a directory of Gabion's. It is made once, with the mode of all others.
const InfoFile = "gabion.json"

// Exposed returns those of paths that belong to the user of this process and that more users may read than mode lets. A
// path that is missing or cannot be looked at exposes nothing, and neither does a file system without modes.
func Exposed(fs vfs.FS, mode fs.FileMode, paths ...string) (exposed []string) {
	l := linker(fs)
	if l == nil {
		return nil
	}
	for _, path := range paths {
		if info, err := l.Lstat(path); err == nil && isOwn(info) && info.Mode().Perm()&^mode.Perm() != 0 {
			exposed = append(exposed, path)
		}
	}
	return exposed
}

// ChmodCommand returns a shell command that gives the contents of directories the modes of Gabion's own files. It leaves out
// links, which may lead elsewhere, and sockets, which are for the user of their server alone.
func ChmodCommand(mode fs.FileMode, paths ...string) string {
	quoted := make([]string, len(paths))
	for i, path := range paths {
		quoted[i] = "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return fmt.Sprintf("find -H %s ! -type l ! -type s -exec chmod u=rwX,g=%s,o=%s {} +", strings.Join(quoted, " "), symbols(mode>>3), symbols(mode))
}

// symbols writes the last three bits of a mode as chmod reads them.
func symbols(mode fs.FileMode) string {
	text := ""
	for i, symbol := range []string{"X", "w", "r"} {
		if mode&(1<<i) != 0 {
			text = symbol + text
		}
	}
	return text
}
