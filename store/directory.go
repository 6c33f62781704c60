package store

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/oklog/ulid/v2"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
)

// The names in DIR beside those of hold.go.
const (
	tablesDir  = "tables"
	stagingDir = "staging"
	// BackupsDir is the name of the default backup directory in DIR.
	BackupsDir = "backups"
)

// DirectoryOptions configures OpenDirectory.
type DirectoryOptions struct {
	// FS is where the directory lies. Required. What it makes gets the modes of disk.Keeping.
	FS vfs.FS
	// Path is DIR. Its parent must exist. It is resolved by RealPath.
	Path string
	// StoreID is the id a new directory gets. Empty mints one.
	StoreID string
	// TakenOver is what a new directory remembers of the backups that it is made for. Nil is nothing.
	TakenOver *messages.LastRun
	// ReadOnly opens without writing anything; the lock is taken all the same, as far as that needs no write
	// (AcquireToRead). Stores opened from the directory refuse to commit.
	ReadOnly bool
	// Logger receives what the stores log. Nil means no logs.
	Logger *slog.Logger
	// CacheBytes is the size of the block cache all tables share. Zero means 64 MiB.
	CacheBytes int64
	// MemTableBytes is the size of one table's memtable, half a WAL file. Zero means 4 MiB.
	MemTableBytes uint64
	// Compactions is how many compactions run at once, over all tables. Zero means 2.
	Compactions int
	// FreezeAfter is how long a table's sstables may fail to be written, without one success, before its store
	// freezes. Zero means 30 s. (A failed write of its WAL or MANIFEST freezes it at once.)
	FreezeAfter time.Duration
}

// Directory is one Gabion's DIR, locked, with what its tables share. It is safe for concurrent use.
type Directory struct {
	fs      vfs.FS
	path    string
	storeID string
	// takenOver is that of gabion.json.
	takenOver *messages.LastRun
	readOnly  bool
	logger    *slog.Logger
	hold      *Hold
	shared    *shared
	// freezeAfter is DirectoryOptions.FreezeAfter.
	freezeAfter time.Duration
	// making are the lineages that restores are making.
	making lineages
	// moving are those that are being put in place, or removed.
	moving lineages
	// foreign are the paths that a warning was given of, because they are none of Gabion's.
	foreign struct {
		sync.Mutex
		told map[string]bool
	}
	loans loans
	// lives are those of what is kept as undo.
	lives lives
}

// CheckDirectory tells whether path can be opened by OpenDirectory, as far as reading shows, and
// changes nothing. A path that does not exist passes unless readOnly.
func CheckDirectory(fs vfs.FS, path string, readOnly bool) error {
	_, _, err := inspect(disk.Within(fs, path, tableLinks(fs)), path, readOnly)
	return err
}

// inspect returns the directory's info, nil where it is still to be made, and whether path exists.
func inspect(fs vfs.FS, path string, readOnly bool) (info *messages.StoreInfo, exists bool, err error) {
	if err := checkNamed(path); err != nil {
		return nil, false, err
	}
	stat, err := fs.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if readOnly {
			return nil, false, messages.WithHint(fmt.Errorf("directory %s: %w", path, messages.ErrNotFound),
				"name a directory that gabion made, or start a host that makes it")
		}
		if parent := fs.PathDir(path); parent != path {
			if _, err := fs.Stat(parent); err != nil {
				return nil, false, messages.WithHint(fmt.Errorf("parent of directory %s: %w", path, err),
					"make the parent directory, or correct the path")
			}
		}
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("stat directory %s: %w", path, err)
	case !stat.IsDir():
		return nil, false, messages.WithHint(fmt.Errorf("%s is a file: %w", path, ErrForeign), "name a directory")
	}
	info, err = ReadInfo(fs, path)
	if err != nil || info != nil {
		return info, true, err
	}
	names, err := fs.List(path)
	if err != nil {
		return nil, true, fmt.Errorf("list directory %s: %w", path, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return name == lockFile || name == holderFile || name == infoFile+asideSuffix || name == "lost+found" || disk.IsTrial(name)
	})
	slices.Sort(names)
	if len(names) > 0 {
		return nil, true, messages.WithHint(
			fmt.Errorf("directory %s has no %s but holds %q: %w", path, infoFile, names[0], ErrForeign),
			"name an empty directory, or one that gabion made")
	}
	if readOnly {
		return nil, true, messages.WithHint(fmt.Errorf("directory %s is empty: %w", path, messages.ErrNotFound),
			"name a directory that gabion made")
	}
	return nil, true, nil
}

// checkNamed refuses the empty path, which RealPath would take for the working directory.
func checkNamed(path string) error {
	if path != "" {
		return nil
	}
	return messages.WithHint(fmt.Errorf("directory is empty: %w", messages.ErrInvalid),
		"name the directory that holds the tables")
}

// OpenDirectory makes or opens a Gabion directory and locks it. Staged cuts that a crash left
// behind are removed. Nothing stays held on an error.
func OpenDirectory(o DirectoryOptions) (_ *Directory, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkNamed(o.Path); err != nil {
		return nil, err
	}
	path, err := RealPath(o.FS, o.Path)
	if err != nil {
		return nil, err
	}
	o.FS = disk.Within(disk.Keeping(o.FS, path), path, tableLinks(o.FS))
	_, exists, err := inspect(o.FS, path, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	if !exists {
		if err := MkdirDurably(o.FS, path); err != nil {
			return nil, messages.WithHint(err, "check permissions and free space of the parent directory")
		}
	}
	acquire := Acquire
	if o.ReadOnly {
		acquire = AcquireToRead
	}
	hold, err := acquire(o.FS, path)
	if err != nil {
		return nil, err
	}
	if err := hold.Unnoted(); err != nil {
		o.Logger.Warn("nobody will be told who holds the directory", "error", err)
	}
	d := &Directory{fs: o.FS, path: path, readOnly: o.ReadOnly, logger: o.Logger, hold: hold,
		freezeAfter: cmp.Or(o.FreezeAfter, defaultFreezeAfter)}
	defer func() {
		if err != nil {
			err = errors.Join(err, hold.Release())
		}
	}()
	// Read again under the lock: another process may have made the directory meanwhile.
	info, _, err := inspect(o.FS, path, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	if info == nil {
		d.storeID = o.StoreID
		if d.storeID == "" {
			d.storeID = ulid.Make().String()
		}
		d.takenOver = o.TakenOver
		if err := writeInfo(o.FS, path, &messages.StoreInfo{StoreId: d.storeID, TakenOver: o.TakenOver}); err != nil {
			return nil, err
		}
		if err := hold.LockInfo(); err != nil {
			return nil, err
		}
	} else {
		d.storeID, d.takenOver = info.GetStoreId(), info.GetTakenOver()
	}
	if !o.ReadOnly {
		if err := d.prepare(); err != nil {
			return nil, err
		}
	}
	d.shared = newShared(o)
	return d, nil
}

// prepare makes what every directory has and removes the staged cuts that no run will publish. No table needs staging to be
// served: what is wrong with it fails the cuts.
func (d *Directory) prepare() error {
	if err := makeIfMissing(d.fs, d.fs.PathJoin(d.path, tablesDir)); err != nil {
		return messages.WithHint(err, "check that the directory can be written and that its disk has free space")
	}
	if err := d.sweepStaging(); err != nil {
		d.logger.Warn("staging is not swept: it may fail the next backups, and holds disk space", "error", err)
	}
	if err := d.SettleLosses(); err != nil {
		d.logger.Warn("losses are not settled: those that a crash left pending count by what serves", "error", err)
	}
	return nil
}

// makeIfMissing is MkdirDurably that makes nothing where dir is there. Its name is made durable then too: whoever made it
// may have ended before.
func makeIfMissing(fs vfs.FS, dir string) error {
	stat, err := fs.Stat(dir)
	switch {
	case err == nil && stat.IsDir():
		return SyncDir(fs, fs.PathDir(dir))
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("stat %s: %w", dir, err)
	}
	return MkdirDurably(fs, dir)
}

// Check returns an error that matches ErrReplaced when the path of DIR no longer names the directory that is locked: a
// change there would be a change of another directory. Any other error says that this cannot be known. It asks the disk.
func (d *Directory) Check() error { return hintPlace(d.hold.Check(d.storeID)) }

// CheckOwner is Check, and that gabion.json in DIR still names this store.
func (d *Directory) CheckOwner() error { return hintPlace(d.hold.CheckOwner(d.storeID)) }

func hintPlace(err error) error {
	return messages.WithHint(err, "put the directory back, or mount its disk, then retry the tables: gabion tables retry; or restart")
}

// Path is DIR, absolute and without symbolic links.
func (d *Directory) Path() string { return d.path }

// StoreID is the ULID minted when the directory was made.
func (d *Directory) StoreID() string { return d.storeID }

// FS is the file system the directory lies on. None of its operations reaches through a symbolic link below Path, but for
// those of tables.
func (d *Directory) FS() vfs.FS { return d.fs }

// ReadOnly tells whether stores opened from the directory refuse to commit.
func (d *Directory) ReadOnly() bool { return d.readOnly }

// Tables lists the tables on disk, sorted, whatever state they are in, but for those of which no more than undo is
// left.
func (d *Directory) Tables() ([]string, error) {
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		// One that cannot be told is listed: whoever opens it learns why.
		serves, err := d.Serves(name)
		return err == nil && !serves
	}), nil
}

// Names lists the tables that have a directory, sorted, whatever it holds: data, undo or nothing any more.
func (d *Directory) Names() ([]string, error) {
	names, err := listIfExists(d.fs, d.fs.PathJoin(d.path, tablesDir))
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return messages.CheckTableName(name) != nil })
	slices.Sort(names)
	return names, nil
}

// Lineages lists the lineages of a table that lie on disk, oldest first.
func (d *Directory) Lineages(table string) ([]string, error) {
	names, err := listIfExists(d.fs, d.tablePath(table))
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := ulid.ParseStrict(name)
		return err != nil
	})
	slices.Sort(names)
	return names, nil
}

// LineagePath is the directory of a lineage's database.
func (d *Directory) LineagePath(table, lineage string) string {
	return d.fs.PathJoin(d.tablePath(table), lineage)
}

func (d *Directory) tablePath(table string) string {
	return d.fs.PathJoin(d.path, tablesDir, table)
}

const currentFile = "current"

// current returns the lineage that serves, or "" where the table has none yet.
func (d *Directory) current(table string) (string, error) {
	path := d.fs.PathJoin(d.tablePath(table), currentFile)
	data, err := disk.ReadFile(d.fs, path, currentLimit)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	lineage := strings.TrimSuffix(string(data), "\n")
	if _, err := ulid.ParseStrict(lineage); err != nil {
		return "", fmt.Errorf("parse %s: %q names no lineage: %w", path, lineage, messages.ErrDataLoss)
	}
	return lineage, nil
}

// Close releases the lock and what the tables shared. Every store must be closed before.
func (d *Directory) Close() error {
	d.loans.close()
	return errors.Join(d.shared.close(), d.hold.Release())
}
