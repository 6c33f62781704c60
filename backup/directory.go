package backup

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Errors that a caller may branch on.
var (
	// ErrBusy: a backup of the table is being published, so it can be neither published nor
	// thinned out beside; or Close met an operation that goes on.
	ErrBusy = fmt.Errorf("backup in progress: %w", messages.ErrUnavailable)
	// ErrReadOnly: the directory was opened to change nothing.
	ErrReadOnly = messages.WithHint(fmt.Errorf("backup directory is open read-only: %w", messages.ErrInvalid),
		"where its disk is mounted for reading only, mount it for writing")
	// ErrClosed: the directory was closed.
	ErrClosed = fmt.Errorf("backup directory is closed: %w", messages.ErrUnavailable)
)

// Options configures Open. FS, Path and StoreID are required.
type Options struct {
	// FS carries every file operation. It should be, or wrap, a store.Identifier: without one
	// every file of every backup is copied.
	FS vfs.FS
	// Path is BACKUPDIR, as store.RealPath returns it. Its parent must exist.
	Path string
	// StoreID is the id of the store whose backups lie here.
	StoreID string
	// Memory is what DIR knows of its backup directories. Nil takes all backups for those of one DIR that was never copied.
	Memory Memory
	// ReadOnly writes nothing: no directory is made, nothing is swept, and Publish, WriteSet and
	// Retain return ErrReadOnly. The lock is taken all the same, as far as that needs no write (store.AcquireToRead). A
	// directory that is missing, or empty, is one without backups: see Missing.
	ReadOnly bool
	// MinFree is how much of the disk must stay free: a backup that would leave less is not begun. Zero means what
	// store.RoomAt makes of it.
	MinFree uint64
	// Logger receives what was swept and what could not be read. Nil means no logs.
	Logger *slog.Logger
}

func (o Options) check() error {
	var errs []error
	if o.FS == nil {
		errs = append(errs, errors.New("fs is missing"))
	}
	if o.Path == "" {
		errs = append(errs, errors.New("path is missing"))
	}
	if o.StoreID == "" {
		errs = append(errs, errors.New("store id is missing"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", messages.ErrInvalid, errors.Join(errs...))
	}
	return nil
}

// Directory is one BACKUPDIR, locked. Its methods may be called from any goroutine.
type Directory struct {
	fs       vfs.FS
	path     string
	storeID  string
	readOnly bool
	minFree  uint64
	log      *slog.Logger

	memory Memory // nil without
	// exchange is held while tokens are read or replaced, found is what was read last.
	exchange turn
	found    atomic.Pointer[standing]

	// missing: read-only, there is nothing to read.
	missing bool

	// unlinked is set where no link is tried. told is set once a link was logged that the file system refused.
	unlinked, told atomic.Bool

	sets turn // held by WriteSet, so that one run id is written once

	mu     sync.Mutex  // guards what follows; held over no file operation but the lock's release
	hold   *store.Hold // nil when missing
	closed bool
	busy   int // operations that change the disk and have not returned
	// drained is made by Drain, and closed when busy is 0 then.
	drained chan struct{}
	tables  map[string]*table
	// foreign are the paths that a warning was given of, because they are none of Gabion's.
	foreign map[string]bool
}

// Open locks the backup directory, makes it where it is missing, and sweeps what crashed runs left.
// It refuses a directory that is not Gabion's or belongs to another store (store.ErrForeign), one of
// a newer format (store.ErrNewer), and one that is in use (store.ErrHeld); a missing parent matches
// os.ErrNotExist. After an error nothing is held.
func Open(o Options) (*Directory, error) {
	d, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("open backup directory %s: %w", o.Path, err)
	}
	return d, nil
}

func open(o Options) (*Directory, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.FS = disk.Within(disk.Keeping(o.FS, o.Path), o.Path, nil)
	d := &Directory{
		fs: o.FS, path: o.Path, storeID: o.StoreID, readOnly: o.ReadOnly,
		minFree: o.MinFree, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		tables: map[string]*table{}, sets: newTurn(), exchange: newTurn(), memory: o.Memory, foreign: map[string]bool{},
	}
	// Looked at before the lock too: a directory that is refused must not get our lock file.
	if _, err := inspect(o); errors.Is(err, os.ErrNotExist) {
		d.missing = o.ReadOnly
	} else if err != nil {
		return nil, err
	}
	if d.missing {
		return d, nil
	}
	if !o.ReadOnly {
		if err := makeDirectory(o.FS, o.Path); err != nil {
			return nil, err
		}
	}
	acquire := store.Acquire
	if o.ReadOnly {
		acquire = store.AcquireToRead
	}
	hold, err := acquire(o.FS, o.Path)
	if err != nil {
		return nil, err
	}
	if err := hold.Unnoted(); err != nil {
		d.log.Warn("nobody will be told who holds the backup directory", "error", err)
	}
	d.hold = hold
	if err := d.prepare(o); err != nil {
		return nil, errors.Join(err, hold.Release())
	}
	return d, nil
}

// prepare makes the locked directory this store's, and sweeps it. A crash before gabion.json is
// renamed into its place leaves a directory that holds our lock files only, which counts as empty.
func (d *Directory) prepare(o Options) error {
	info, err := inspect(o)
	if err != nil || d.readOnly {
		return err
	}
	if info == nil {
		if err := store.WriteInfo(d.fs, d.path, o.StoreID); err != nil {
			return err
		}
		if err := d.hold.LockInfo(); err != nil {
			return err
		}
	}
	d.sweep()
	return nil
}

// makeDirectory makes path durably. The parent is never made: an unmounted disk must be noticed.
func makeDirectory(fs vfs.FS, path string) error {
	parent := fs.PathDir(path)
	if _, err := fs.Stat(parent); err != nil {
		return messages.WithHint(fmt.Errorf("stat parent directory: %w", err),
			"make the parent directory, or mount the disk it lies on")
	}
	return store.MkdirDurably(fs, path)
}

// inspect reads whose directory o.Path is, without changing it; nil for one that is empty. The
// error of a missing one, and with ReadOnly of an empty one, matches os.ErrNotExist.
func inspect(o Options) (*messages.StoreInfo, error) {
	names, err := o.FS.List(o.Path)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", o.Path, err)
	}
	info, err := store.ReadInfo(o.FS, o.Path)
	if err != nil {
		return nil, err
	}
	switch {
	case info == nil && !isEmpty(names):
		return nil, messages.WithHint(fmt.Errorf("%w: it is not empty and has no gabion.json", store.ErrForeign),
			"name an empty directory, or put gabion.json back if these are backups")
	case info == nil && o.ReadOnly:
		return nil, fmt.Errorf("read gabion.json: %w", os.ErrNotExist)
	case info != nil && info.GetStoreId() != o.StoreID:
		return nil, messages.WithHint(
			fmt.Errorf("%w: it belongs to store %q, this is store %q", store.ErrForeign, info.GetStoreId(), o.StoreID),
			"name another backup directory; if this one's store was lost, restore it, or create it empty with --create-empty")
	}
	return info, nil
}

// isEmpty tells whether names are only what an unfinished Open leaves, or the file system makes.
func isEmpty(names []string) bool {
	for _, name := range names {
		switch name {
		case "LOCK", "owner.json", "gabion.json.aside", "lost+found":
		default:
			if !disk.IsTrial(name) {
				return false
			}
		}
	}
	return true
}

// StoreIDAt returns the id of the store whose backups lie at path, and "" where there is no backup
// directory. It takes no lock and changes nothing.
func StoreIDAt(fs vfs.FS, path string) (string, error) {
	info, err := store.ReadInfo(disk.Within(fs, path, nil), path)
	if err != nil {
		return "", fmt.Errorf("read store id of %s: %w", path, err)
	}
	return info.GetStoreId(), nil
}

// AvoidLinks has every file copied from now on, where the file system makes no hard links.
func (d *Directory) AvoidLinks() { d.unlinked.Store(true) }

// Path returns BACKUPDIR.
func (d *Directory) Path() string { return d.path }

// Missing tells whether the directory was opened read-only and is not there: it has no backups, or is not
// mounted.
func (d *Directory) Missing() bool { return d.missing }

// Close gives the directory free. While an operation goes on, because its file operation hangs,
// Close returns an error that matches ErrBusy, and the lock is released when that operation ends.
// A second Close does nothing.
func (d *Directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if d.busy > 0 {
		return fmt.Errorf("close backup directory %s: %w: %d operations go on, its lock is kept until they end",
			d.path, ErrBusy, d.busy)
	}
	return d.release()
}

// Busy is how many operations that change the disk go on.
func (d *Directory) Busy() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.busy
}

// Drain refuses new operations that change the disk, and returns when none goes on. Close may follow.
func (d *Directory) Drain() {
	d.mu.Lock()
	if d.drained == nil {
		d.drained = make(chan struct{})
		if d.busy == 0 {
			close(d.drained)
		}
	}
	drained := d.drained
	d.mu.Unlock()
	<-drained
}

func (d *Directory) release() error {
	if d.hold == nil {
		return nil
	}
	if err := d.hold.Release(); err != nil {
		return fmt.Errorf("close backup directory %s: %w", d.path, err)
	}
	return nil
}

// Check returns an error that matches store.ErrReplaced when the path of BACKUPDIR no longer names the directory that is
// locked: a change there would be made in another directory, without a lock. Any other error says that this cannot be
// known. It asks the disk.
func (d *Directory) Check() error { return hintPlace(d.hold.Check(d.storeID)) }

// CheckOwner is Check, and that gabion.json in BACKUPDIR still names the store.
func (d *Directory) CheckOwner() error { return hintPlace(d.hold.CheckOwner(d.storeID)) }

func hintPlace(err error) error {
	return messages.WithHint(err, "put the backup directory back, or mount its disk; restart to use what is there now")
}

// InPlace reports whether the path of BACKUPDIR names a backup directory of the same store, even if it is not the locked one.
func (d *Directory) InPlace() (bool, error) {
	id, err := StoreIDAt(d.fs, d.path)
	return id == d.storeID, err
}

// mkdir durably makes a directory in BACKUPDIR where it is missing. It never makes BACKUPDIR itself anew.
func (d *Directory) mkdir(dir string) error {
	if exists, err := store.Exists(d.fs, dir); err != nil || exists {
		return errors.Join(err, store.SyncDir(d.fs, d.fs.PathDir(dir)))
	}
	if err := store.MkdirDurably(d.fs, dir); err != nil {
		return err
	}
	err := d.Check()
	if err != nil { // somebody replaced BACKUPDIR meanwhile: the new directory is in the wrong one, and empty
		_ = d.fs.Remove(dir)
	}
	return err
}

// begin admits an operation that changes the disk. Each begin without error needs one end.
func (d *Directory) begin() error {
	if err := d.admit(); err != nil {
		return err
	}
	err := d.CheckOwner()
	if err != nil {
		d.end()
	}
	return err
}

func (d *Directory) admit() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.readOnly:
		return ErrReadOnly
	case d.closed || d.drained != nil:
		return ErrClosed
	}
	d.busy++
	return nil
}

func (d *Directory) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy--
	if d.drained != nil && d.busy == 0 {
		close(d.drained)
	}
	if d.closed && d.busy == 0 {
		if err := d.release(); err != nil {
			d.log.Warn("release backup directory", "error", err)
		}
	}
}
