package backup

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/store"
)

// The names in BACKUPDIR/NAME. What starts with pendingPrefix does not count and is swept.
const (
	pendingPrefix  = ".pending-"
	removingPrefix = pendingPrefix + "remove-"
)

// asideSuffix ends the name of a file that is being written, see store.WriteDurably.
const asideSuffix = ".aside"

// inBackup says what a name in the directory of a backup stands for, for disk.RemoveKnown.
func inBackup(elements ...string) disk.Kind {
	switch {
	case elements[0] == dbDir && len(elements) == 1:
		return disk.Dir
	case elements[0] == dbDir:
		return store.InDatabase(elements[1:]...)
	case len(elements) == 1 && (elements[0] == manifestFile || elements[0] == hashFile):
		return disk.File
	}
	return disk.Foreign
}

// idTime is the time of an id: UTC, for people, without the colons that Windows refuses.
const idTime = "2006-01-02T15-04-05Z"

var idPattern = regexp.MustCompile(`^([0-9]{6,18})_[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z$`)

// makeID names the backup with the given number. The number alone orders: clocks go backwards.
func makeID(number uint64, started time.Time) string {
	return fmt.Sprintf("%06d_%s", number, started.UTC().Format(idTime))
}

// parseID returns the number of the backup that name names; false when it is no backup's name.
func parseID(name string) (uint64, bool) {
	match := idPattern.FindStringSubmatch(name)
	if match == nil {
		return 0, false
	}
	number, err := strconv.ParseUint(match[1], 10, 64)
	return number, err == nil
}

// NewerThan tells whether the backup was begun after the one of the same table that id names; false where id is no backup's.
func (b Backup) NewerThan(id string) bool {
	own, ownOK := parseID(b.ID)
	other, ok := parseID(id)
	return ownOK && ok && own > other
}

// nextNumber returns the number after the highest that any of names carries, unfinished ones and
// those being removed included: no two backups of a table ever share one, so no new name can exist.
func nextNumber(names []string) uint64 {
	var highest uint64
	for _, name := range names {
		name = strings.TrimPrefix(name, removingPrefix)
		name = strings.TrimPrefix(name, pendingPrefix)
		if number, ok := parseID(name); ok {
			highest = max(highest, number)
		}
	}
	return highest + 1
}
