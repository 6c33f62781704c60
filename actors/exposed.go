package actors

import (
	"cmp"

	"github.com/gabiondb/gabion/internal/disk"
)

// warnExposed logs, once for each start, that more users may read the directories than Config.DirMode lets: they were
// made with another mode. This user cannot change the directory of somebody else, such as a volume's, but can change its
// content.
func (t *tree) warnExposed(backups string) {
	c := t.config
	mode := cmp.Or(c.DirMode, disk.DefaultDirMode)
	dir := t.directory.Path()
	paths := disk.Exposed(c.FS, mode, dir)
	if len(paths) == 0 {
		for _, name := range []string{"tables", "staging", "events", "gabion.json"} {
			paths = append(paths, disk.Exposed(c.FS, mode, c.FS.PathJoin(dir, name))...)
		}
	}
	paths = append(paths, disk.Exposed(c.FS, mode, backups)...)
	if len(paths) > 0 {
		c.Logger.Warn("other users may read the tables or the backups", "paths", paths, "hint", disk.ChmodCommand(mode, paths...))
	}
}
