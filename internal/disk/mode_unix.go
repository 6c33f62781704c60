//go:build !windows

package disk

import (
	"io/fs"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fileBits are those of a directory's mode that its files get.
const fileBits fs.FileMode = 0o666

// kept is what is made below a directory of Gabion's.
type kept struct {
	dir  string
	mode fs.FileMode
}

// Keeping returns fsys, where what is made in dir, as store.RealPath returns it, gets the mode with which dir was made, as its
// InfoFile shows: the bits of the group, where the group may write or others may do nothing. So whoever works in a directory
// of a group's leaves it to the group. A file that others may read and the group may not write is of a time when the umask
// gave modes: it counts as made for its owner alone, as does a directory without the file. Others get nothing here. For what
// lies in no directory that was named, and for one without the file, the first one counts. An FS for which OS was given a mode
// keeps that, and one that is not OS is returned as it is.
func Keeping(fsys vfs.FS, dir string) vfs.FS {
	switch f := fsys.(type) {
	case *within:
		w := *f
		w.FS = Keeping(f.FS, dir)
		return &w
	case *system:
		s := *f
		mode := s.modeAt(dir)
		if info, err := os.Lstat(s.PathJoin(dir, InfoFile)); err == nil && info.Mode().IsRegular() {
			mode = madeWith(info.Mode())
		}
		s.kept = append(s.kept[:len(s.kept):len(s.kept)], kept{dir, mode})
		return &s
	}
	return fsys
}

// madeWith is the mode of the directories beside a file of Gabion's.
func madeWith(file fs.FileMode) fs.FileMode {
	group := file & 0o060
	if file&0o007 != 0 && group&0o020 == 0 || group&0o040 == 0 {
		return DefaultDirMode
	}
	return DefaultDirMode | group | 0o010
}

// ModeAt is the mode of a directory that fsys makes at path. Of an FS that gives no modes it is DefaultDirMode.
func ModeAt(fsys vfs.FS, path string) fs.FileMode {
	for ; fsys != nil; fsys = fsys.Unwrap() {
		if s, ok := fsys.(*system); ok {
			return s.modeAt(path)
		}
	}
	return DefaultDirMode
}

// modeAt is the mode of a directory at path: what was asked for, or that of the innermost directory that is kept to.
func (s *system) modeAt(path string) fs.FileMode {
	if s.dirMode != 0 {
		return s.dirMode
	}
	if len(s.kept) == 0 {
		return DefaultDirMode
	}
	mode, longest := s.kept[0].mode, 0
	for _, k := range s.kept {
		if below(path, k.dir) && len(k.dir) > longest {
			mode, longest = k.mode, len(k.dir)
		}
	}
	return mode
}

// below tells whether path is dir, or lies in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func (s *system) fileMode(path string) fs.FileMode { return s.modeAt(path) & fileBits }
