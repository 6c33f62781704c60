package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/internal/disk"
)

// ErrFrozen: the store's disk no longer changes, because a write to it failed. The store must be closed
// and opened again; nothing that was not acknowledged before may be acknowledged now.
var ErrFrozen = errors.New("store is frozen")

// freezer is the file system of one open lineage. From its first failed write to a file that
// Pebble cannot lose, or when its patience with the other files ends, it is frozen: every change succeeds
// without touching the disk, new files live in memory. The disk keeps what a crash at that instant would have
// left, and Pebble, which would end the process or hang on such an error, runs on harmlessly until it is closed.
//
// Failures outside the lineage's directory, such as of a checkpoint in the staging directory, are
// returned and freeze nothing.
type freezer struct {
	vfs.FS
	dir string // the lineage's directory
	// place is that directory as it was opened; nil while the database is made, when nobody else knows the directory.
	place  *Place
	frozen atomic.Bool
	// fresh makes ReuseForWrite make new files. A recycled WAL keeps its old size and content behind what is
	// written to it, and a cut copies all of it.
	fresh atomic.Bool
	// overlay holds the files made while frozen.
	overlay *vfs.MemFS
	// onFreeze is told the first cause, once, on a goroutine of its own.
	onFreeze func(cause error)
	patience *patience
	// loans are the directory's. Nil lends nothing: a link that fails is an error.
	loans *loans
	// onRefusal, unless nil, is called when a write failed and will be tried again.
	onRefusal func()
	// ended is closed by the freeze: nothing waits for the disk any more.
	ended chan struct{}

	mu    sync.Mutex
	cause error
}

var _ vfs.FS = (*freezer)(nil)

// newFreezer makes one for the lineage in dir that freezes after the given time without a success.
func newFreezer(fs vfs.FS, dir string, after time.Duration, onFreeze func(error)) *freezer {
	return &freezer{FS: fs, dir: dir, overlay: vfs.NewMem(), onFreeze: onFreeze,
		patience: &patience{limit: after}, ended: make(chan struct{})}
}

// freeze stops every further change of the disk. The flag is set before it returns, so that no
// acknowledgement that looks at it afterwards can be false.
func (z *freezer) freeze(cause error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.frozen.Load() {
		return
	}
	z.cause = cause
	z.frozen.Store(true)
	close(z.ended)
	if z.onFreeze != nil {
		go z.onFreeze(cause)
	}
}

// why returns what froze the store, nil when nothing did.
func (z *freezer) why() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.cause
}

// inside tells whether path is a file of the lineage's directory.
func (z *freezer) inside(path string) bool {
	return path == z.dir || z.FS.PathDir(path) == z.dir
}

// vital tells the files whose failed write Pebble answers by ending the process or losing data.
func (z *freezer) vital(path string) bool {
	if !z.inside(path) {
		return false
	}
	base := z.FS.PathBase(path)
	return strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "MANIFEST") || strings.HasPrefix(base, "marker.")
}

// judge decides what Pebble is told of a change of a file that failed: nothing, where the store is frozen now.
func (z *freezer) judge(path string, err error) error {
	switch {
	case err == nil || !z.inside(path):
		return err
	case z.vital(path):
		z.freeze(err)
		return nil
	}
	return z.bear(err)
}

// bear is judge for a file that Pebble can do without. Pebble writes it anew at once, and for ever: the error is
// held back a while, longer each time, and not returned when the store freezes meanwhile.
func (z *freezer) bear(err error) error {
	if z.onRefusal != nil {
		z.onRefusal()
	}
	pause, over := z.patience.failed()
	if over {
		z.freeze(fmt.Errorf("no file could be written for %v: %w", z.patience.limit, err))
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-z.ended:
		return nil
	case <-timer.C:
		return err
	}
}

// synced notes that a file was fsynced.
func (z *freezer) synced(path string) {
	if z.inside(path) && strings.HasPrefix(z.FS.PathBase(path), "MANIFEST") {
		z.patience.succeeded()
	}
}

// elsewhere reports whether path lies in a directory that has replaced the lineage's, and freezes the store then: the other
// directory may be a table's too.
func (z *freezer) elsewhere(path string) bool {
	return z.inside(path) && z.check() != nil
}

// check returns an error, and freezes, when somebody has moved, removed or replaced the lineage's directory. Where the disk
// does not say, check returns nil: the next use of the disk meets its fault.
func (z *freezer) check() error {
	err := z.place.Check()
	if !errors.Is(err, ErrReplaced) {
		return nil
	}
	z.freeze(err)
	return err
}

func (z *freezer) overlaid(path string) bool {
	_, err := z.overlay.Stat(path)
	return err == nil
}

func (z *freezer) createInMemory(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := z.overlay.MkdirAll(z.FS.PathDir(path), 0o755); err != nil {
		return nil, err
	}
	return z.overlay.Create(path, category)
}

func (z *freezer) Create(path string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if z.frozen.Load() || z.elsewhere(path) {
		return z.createInMemory(path, category)
	}
	err := z.beforeMarker(path)
	var f vfs.File
	if err == nil {
		f, err = z.FS.Create(path, category)
	}
	if err != nil {
		if z.judge(path, err) == nil {
			return z.createInMemory(path, category)
		}
		return nil, err
	}
	if z.loans != nil {
		z.loans.made(path)
	}
	return &freezerFile{File: f, fs: z, path: path}, nil
}

// beforeMarker makes durable the name of the MANIFEST that a marker is about to name, and the name of a marker before the one
// that it replaces is removed: Pebble 2.1.7 leaves both to the fsync that follows, and a crash in between could keep
// the marker alone, or neither of the two.
func (z *freezer) beforeMarker(path string) error {
	if !z.inside(path) || !strings.HasPrefix(z.FS.PathBase(path), "marker.") {
		return nil
	}
	return SyncDir(z.FS, z.dir)
}

func (z *freezer) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if z.frozen.Load() || z.elsewhere(to) {
		return z.createInMemory(to, category)
	}
	f, err := z.reuse(from, to, category)
	if err != nil {
		if z.judge(to, err) == nil {
			return z.createInMemory(to, category)
		}
		return nil, err
	}
	return &freezerFile{File: f, fs: z, path: to}, nil
}

func (z *freezer) reuse(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !z.fresh.Load() {
		return z.FS.ReuseForWrite(from, to, category)
	}
	if err := z.FS.Remove(from); err != nil {
		return nil, err
	}
	return z.FS.Create(to, category)
}

func (z *freezer) OpenReadWrite(path string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if z.frozen.Load() || z.elsewhere(path) {
		return z.createInMemory(path, category)
	}
	f, err := z.FS.OpenReadWrite(path, category, opts...)
	if err != nil {
		return nil, err
	}
	return &freezerFile{File: f, fs: z, path: path}, nil
}

func (z *freezer) Open(path string, opts ...vfs.OpenOption) (vfs.File, error) {
	if z.frozen.Load() && z.overlaid(path) {
		return z.overlay.Open(path, opts...)
	}
	if z.elsewhere(path) {
		return nil, &os.PathError{Op: "open", Path: path, Err: ErrReplaced}
	}
	return z.FS.Open(path, opts...)
}

func (z *freezer) OpenDir(path string) (vfs.File, error) {
	f, err := z.FS.OpenDir(path)
	if err != nil {
		return nil, err
	}
	return &freezerFile{File: f, fs: z, path: path, dir: true}, nil
}

func (z *freezer) Stat(path string) (vfs.FileInfo, error) {
	if z.frozen.Load() && z.overlaid(path) {
		return z.overlay.Stat(path)
	}
	return z.FS.Stat(path)
}

// Link never lets Pebble copy instead: a silent copy of a whole table would hold up every commit.
// Pebble copies on any error but a few, of which a permission error is one. Where the file system makes no link, the cut
// gets the file on loan.
func (z *freezer) Link(from, to string) error {
	if z.frozen.Load() {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: errors.Join(ErrFrozen, os.ErrPermission)}
	}
	cut, lendable := z.FS.PathDir(to), z.loans != nil && z.inside(from) && !z.inside(to)
	// The other files of the cut meet the same refusal, and no link is tried where it could be a copy.
	lend := lendable && (z.loans.always.Load() || z.loans.lends(cut))
	if !lend {
		err := z.FS.Link(from, to)
		if err == nil {
			return nil
		}
		if lend = lendable && disk.NoLink(err); !lend {
			return &os.LinkError{Op: "link", Old: from, New: to, Err: errors.Join(err, os.ErrPermission)}
		}
	}
	z.loans.lend(cut, z.FS.PathBase(to), from)
	return nil
}

func (z *freezer) Rename(from, to string) error {
	if z.frozen.Load() || z.elsewhere(to) {
		if z.overlaid(from) {
			return z.overlay.Rename(from, to)
		}
		return nil
	}
	return z.judge(to, z.FS.Rename(from, to))
}

func (z *freezer) Remove(path string) error {
	if z.frozen.Load() || z.elsewhere(path) {
		if z.overlaid(path) {
			return z.overlay.Remove(path)
		}
		return nil
	}
	if z.loans != nil && z.loans.keeps(path, z.place) {
		return nil
	}
	if err := z.beforeMarker(path); err != nil {
		return z.judge(path, err)
	}
	return z.FS.Remove(path)
}

func (z *freezer) RemoveAll(path string) error {
	if z.frozen.Load() || z.elsewhere(path) {
		return nil
	}
	return z.FS.RemoveAll(path)
}

func (z *freezer) MkdirAll(path string, perm os.FileMode) error {
	if z.frozen.Load() {
		return z.overlay.MkdirAll(path, perm)
	}
	return z.FS.MkdirAll(path, perm)
}

func (z *freezer) Unwrap() vfs.FS { return z.FS }
