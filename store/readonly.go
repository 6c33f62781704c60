package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// ReadOnlyOptions configures OpenReadOnly.
type ReadOnlyOptions struct {
	// Table is the table's name, for the log and the errors.
	Table string
	// CacheBytes is the size of the block cache, which is this store's alone: what it reads comes from the disk, and
	// pushes out nothing of the live tables. Zero means 8 MiB.
	CacheBytes int64
	// Logger receives what Pebble logs. Nil means no logs.
	Logger *slog.Logger
	// Sizes, unless nil, are how long the files are that count, by their names; Examine alone heeds it.
	Sizes map[string]int64
}

// OpenReadOnly opens the table's database at path where it lies, a backup's for example, and changes nothing there: no
// byte is written, not even Pebble's LOCK, so it works on a disk that is mounted for reading only. The caller sees to it that
// nobody changes the files meanwhile. The store has Get, Snapshot and Record, and must be closed.
//
// That it opens proves nothing: see Sums and CheckBlocks. A file that is damaged or missing matches messages.ErrDataLoss,
// a directory that is not there messages.ErrNotFound.
func OpenReadOnly(fs vfs.FS, path string, o ReadOnlyOptions) (*Store, error) {
	s, err := openReadOnly(fs, path, o)
	if err != nil {
		return nil, fmt.Errorf("open %s for reading: %w", path, err)
	}
	return s, nil
}

func openReadOnly(fs vfs.FS, path string, o ReadOnlyOptions) (*Store, error) {
	if exists, err := Exists(fs, path); err != nil {
		return nil, err
	} else if !exists {
		return nil, messages.ErrNotFound
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 20
	}
	shared := &shared{
		cache:    pebble.NewCache(o.CacheBytes),
		files:    pebble.NewFileCache(runtime.GOMAXPROCS(0), 64),
		memTable: defaultMemTableBytes,
	}
	d := &Directory{fs: fs, readOnly: true, logger: o.Logger, shared: shared}
	p := &opening{dir: d, table: o.Table, path: path, logger: o.Logger.With("table", o.Table)}
	db, record, err := p.openDB(d.fs, true, nil)
	if err != nil {
		return nil, errors.Join(err, shared.close())
	}
	s := p.store(db, record, nil, nil)
	s.own = shared
	return s, nil
}

// unchanged is a file system that refuses every change. Pebble, opened for reading, asks for none but its lock.
type unchanged struct{ vfs.FS }

func (fs unchanged) Unwrap() vfs.FS { return fs.FS }

func refused(op, path string) error {
	return &os.PathError{Op: op, Path: path, Err: os.ErrPermission}
}

func (fs unchanged) Create(path string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refused("create", path)
}

func (fs unchanged) ReuseForWrite(_, to string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refused("create", to)
}

func (fs unchanged) OpenReadWrite(path string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, refused("open for writing", path)
}

func (fs unchanged) Link(_, to string) error     { return refused("link", to) }
func (fs unchanged) Rename(_, to string) error   { return refused("rename", to) }
func (fs unchanged) Remove(path string) error    { return refused("remove", path) }
func (fs unchanged) RemoveAll(path string) error { return refused("remove", path) }
func (fs unchanged) MkdirAll(path string, _ os.FileMode) error {
	return refused("make directory", path)
}

// Lock locks nothing: any number may read at once.
func (fs unchanged) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Reached returns how far the lineage that current names is known to have come, by its mark; nil where there is none.
func (d *Directory) Reached(table string) (*messages.Position, error) {
	lineage, err := d.current(table)
	if err != nil || lineage == "" {
		return nil, err
	}
	v, ok, err := readMark(d.fs, d.fs.PathJoin(d.tablePath(table), lineage)+markSuffix)
	if err != nil || !ok || v.lineage != lineage {
		return nil, err
	}
	return &messages.Position{Lineage: lineage, Seq: v.seq}, nil
}
