package store

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

// What a file of DIR may have at most, in bytes. A longer one is not Gabion's writing, and is not read. See docs/format.md.
const (
	// noteLimit bounds gabion.json, owner.json, backup_dirs.json and LINEAGE.undo.
	noteLimit = 64 << 10
	// currentLimit bounds current, which has 27 bytes.
	currentLimit = 1 << 10
	// stateLimit bounds schedule.json and history.json, which grow with the number of tables.
	stateLimit = 64 << 20
	// optionsLimit bounds Pebble's OPTIONS, which Pebble reads as a whole.
	optionsLimit = 1 << 20
)

// mostRead bounds what ReadFile reads.
const mostRead = 1 << 30

// ReadFile returns the whole content of a file whose format sets no limit. A file of more than 1 GiB is a
// disk.LengthError. The error of a missing file matches os.ErrNotExist.
func ReadFile(fs vfs.FS, path string) ([]byte, error) { return disk.ReadFile(fs, path, mostRead) }
