package actors

import (
	"io/fs"

	"github.com/gabiondb/gabion/internal/disk"
)

// warnExposed logs, once for each start, that more users may read the directories than what is made there lets: they were
// made with another mode. This user cannot change the directory of somebody else, such as a volume's, but can change its
// content.
func (t *tree) warnExposed(backups string) {
	c := t.config
	dir := t.directory.Path()
	within := disk.Keeping(t.directory.FS(), backups)
	mode := disk.ModeAt(within, dir)
	paths := disk.Exposed(c.FS, mode, dir)
	if len(paths) == 0 {
		for _, name := range []string{"tables", "staging", "events", disk.InfoFile} {
			paths = append(paths, disk.Exposed(c.FS, mode, c.FS.PathJoin(dir, name))...)
		}
	}
	found := disk.Exposed(c.FS, disk.ModeAt(within, backups), backups)
	if disk.ModeAt(within, backups) == mode {
		paths, found = append(paths, found...), nil
	}
	t.warnOf(mode, paths)
	t.warnOf(disk.ModeAt(within, backups), found)
}

func (t *tree) warnOf(mode fs.FileMode, paths []string) {
	if len(paths) > 0 {
		t.config.Logger.Warn("other users may read the tables or the backups", "paths", paths, "hint", disk.ChmodCommand(mode, paths...))
	}
}
