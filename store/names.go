package store

import (
	"regexp"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// databaseFile matches the names that Pebble gives the files of a database.
var databaseFile = regexp.MustCompile(`^([0-9]+\.(sst|blob|log|dbtmp)|[0-9]+-[0-9]+\.log|(MANIFEST|OPTIONS|REMOTE-OBJ-CATALOG)-[0-9]+|` +
	`LOCK|CURRENT|CURRENT\.[0-9]+\.dbtmp|marker\.[a-z-]+\.[0-9]+\..+|temporary\.[0-9]+\.dbtmp)$`)

// runName matches the ids of runs.
var runName = regexp.MustCompile(`^[0-9A-Z]+$`)

// InDatabase says what a name in a Pebble database's directory stands for, for disk.RemoveKnown.
func InDatabase(elements ...string) disk.Kind {
	if len(elements) == 1 && databaseFile.MatchString(elements[0]) {
		return disk.File
	}
	return disk.Foreign
}

// inRun says what a name in a run's staging stands for: a database for each table.
func inRun(elements ...string) disk.Kind {
	switch {
	case messages.CheckTableName(elements[0]) != nil:
		return disk.Foreign
	case len(elements) == 1:
		return disk.Dir
	}
	return InDatabase(elements[1:]...)
}

func isLineage(name string) bool {
	_, err := ulid.ParseStrict(name)
	return err == nil
}

// tableLinks tells the links within DIR that are meant: a table may lie on a disk of its own.
func tableLinks(fs vfs.FS) func(path string) bool {
	return func(path string) bool {
		return fs.PathDir(path) == tablesDir && messages.CheckTableName(fs.PathBase(path)) == nil
	}
}

// discard removes the directory at path with what Gabion makes in it, and returns whether all of it went. What is foreign
// is kept, and warned about once.
func (d *Directory) discard(path string, known func(elements ...string) disk.Kind) (all bool, err error) {
	foreign, err := disk.RemoveKnown(d.fs, path, known)
	d.warnForeign(foreign)
	return len(foreign) == 0, err
}

// warnForeign logs each path among Gabion's files that is none of them, once.
func (d *Directory) warnForeign(paths []string) {
	d.foreign.Lock()
	defer d.foreign.Unlock()
	for _, path := range paths {
		if d.foreign.told[path] {
			continue
		}
		if d.foreign.told == nil {
			d.foreign.told = map[string]bool{}
		}
		d.foreign.told[path] = true
		d.logger.Warn("this is none of Gabion's files, and is kept: move it elsewhere", "path", path)
	}
}
