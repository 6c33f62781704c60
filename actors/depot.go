package actors

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// depotPause is how long after a failed try to open the backup directory nobody tries again.
const depotPause = time.Second

// depot is the backup directory of a tree, which may not be there, or not to be written: no table waits for it. It is
// opened in the background, and each call that needs it has it tried again. It has the methods of backup.Directory,
// which wait for a try that is under way. A caller that must not wait for a disk bounds them.
type depot struct {
	logger *slog.Logger
	// open opens the directory; readOnly says why it is open without changes though changes were wanted.
	open func() (dir *backup.Directory, readOnly error, err error)

	mu       sync.Mutex
	path     string            // BACKUPDIR, as it was given until a try has resolved it
	dir      *backup.Directory // nil until it is open
	readOnly error
	lacking  []lacks       // what its file system does not have
	met, err error         // what the last try met, and what others are told of it; nil where dir is there
	at       time.Time     // when the last try ended
	trying   chan struct{} // closed when the try under way has ended; nil without one
	closed   bool
}

// newDepot returns the depot of a directory, which is not open yet.
func newDepot(config Config, directory *store.Directory) *depot {
	d := &depot{path: config.BackupDir, logger: config.Logger}
	d.open = func() (*backup.Directory, error, error) {
		real, err := config.backupsPath(directory.Path())
		if err != nil {
			return nil, nil, err
		}
		d.mu.Lock()
		d.path = real
		d.mu.Unlock()
		o := backup.Options{
			FS: directory.FS(), Path: real, StoreID: directory.StoreID(), Memory: directory,
			ReadOnly: config.ReadOnly, MinFree: config.MinFreeBytes, Logger: config.Logger,
		}
		dir, err := backup.Open(o)
		if err == nil && !o.ReadOnly {
			d.probe(config, dir)
		}
		if o.ReadOnly || !store.MountedReadOnly(err) {
			return dir, nil, err
		}
		// What it has can be listed, verified and restored from all the same.
		o.ReadOnly = true
		dir, again := backup.Open(o)
		return dir, err, again
	}
	return d
}

// probe finds out what the file system of the directory has, and has it copy where it cannot link.
func (d *depot) probe(config Config, dir *backup.Directory) {
	c := disk.Probe(config.FS, dir.Path())
	if c.Link == disk.Lacks {
		dir.AvoidLinks()
	}
	all := lacking(c, true)
	logLacking(config, dir.Path(), all)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lacking = all
}

// lacks returns what the file system of the directory does not have, as far as it is known. It does not wait.
func (d *depot) lacks() []lacks {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lacking
}

// begin has a try made in the background, unless one is under way, or there is nothing to try.
func (d *depot) begin() (ended <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trying == nil && !d.closed && d.dir == nil && (d.at.IsZero() || time.Since(d.at) >= depotPause) {
		d.trying = make(chan struct{})
		go d.try(d.trying)
	}
	return d.trying
}

// try is the goroutine of a try.
func (d *depot) try(ended chan struct{}) {
	defer close(ended)
	dir, readOnly, err := d.guarded()
	var whose error
	if err == nil && readOnly == nil {
		whose = dir.Whose()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	first := d.at.IsZero()
	d.dir, d.readOnly, d.met, d.err = dir, readOnly, err, nil
	d.at, d.trying = time.Now(), nil
	switch {
	case err != nil:
		d.err = unusable(d.path, err)
		d.logger.Error("backup directory cannot be used: the tables are served, and no backup is made", "backup_dir", d.path,
			"error", err, "hint", joinHints(hinted(err)))
	case readOnly != nil:
		d.logger.Error("backup directory cannot be written: the tables are served, and no backup is made", "backup_dir", d.path, "error", readOnly)
	case whose != nil:
		// The next run may be a day away.
		d.logger.Error("backup directory is not that of this directory: the tables are served, and no backup is made", "error", whose,
			"hint", joinHints(whose))
	case !first:
		d.logger.Info("backup directory can be used again", "backup_dir", d.path)
	}
}

// guarded is open, where a panic is an error.
func (d *depot) guarded() (dir *backup.Directory, readOnly, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panicked: %v: %w", reason, messages.ErrInternal)
		}
	}()
	return d.open()
}

// unusable is the error of each call that needs the directory. It is no answer about what the backups hold, whatever its
// cause is.
func unusable(path string, cause error) error {
	return messages.Failf(messages.Code_CODE_UNAVAILABLE, "backup directory %s cannot be used: %v", path, cause).
		After(depotPause).Advise(joinHints(hinted(cause)))
}

// get returns the open directory, after a try where it is not open.
func (d *depot) get() (*backup.Directory, error) {
	if ended := d.begin(); ended != nil {
		<-ended
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dir != nil:
		return d.dir, nil
	case d.closed:
		return nil, backup.ErrClosed
	}
	return nil, d.err
}

// toWrite is get for a change: what is open without changes is tried again, unless somebody reads there.
func (d *depot) toWrite() (*backup.Directory, error) {
	d.mu.Lock()
	if d.dir != nil && d.readOnly != nil && !d.closed && time.Since(d.at) >= depotPause && d.dir.Idle() {
		// Its own lock would be in the way.
		if err := d.dir.Close(); err != nil {
			d.logger.Warn("backup directory closed with an error", "error", err)
		}
		d.dir = nil
	}
	d.mu.Unlock()
	return d.get()
}

// Check returns an error when no backup can be made, or when it would not be made where the next start looks for it. If
// the path names another backup directory of the same store, as after its disk was mounted again, Check locks that one and
// closes the old one, unless an operation still uses the old one.
func (d *depot) Check() error {
	dir, err := d.toWrite()
	if err != nil {
		return err
	}
	if err = dir.CheckOwner(); !errors.Is(err, store.ErrReplaced) {
		return err
	}
	if !d.giveUp(dir) {
		return err
	}
	if dir, err = d.get(); err != nil {
		return err
	}
	return dir.CheckOwner()
}

// giveUp closes dir if its path names a backup directory of the same store, and returns whether it did. The next get opens
// what is there.
func (d *depot) giveUp(dir *backup.Directory) bool {
	if there, err := dir.InPlace(); err != nil || !there {
		return false // an empty directory may be the mount point of a disk that is missing
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir != dir || d.closed || !dir.Idle() {
		return false
	}
	if err := dir.Close(); err != nil {
		d.logger.Warn("backup directory closed with an error", "error", err)
	}
	d.dir, d.at = nil, time.Time{}
	return true
}

// ready returns the directory where it is open, and nil otherwise. It does not wait.
func (d *depot) ready() *backup.Directory {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dir
}

// fault says why no backup can be made, nil where it can. It does not wait.
func (d *depot) fault() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dir == nil && d.err != nil:
		return d.err
	case d.dir == nil:
		return unusable(d.path, errors.New("its disk has not answered yet"))
	case d.readOnly != nil:
		return unusable(d.path, d.readOnly)
	}
	return nil
}

// cause is what the last try met, nil where the directory is open, or no try has ended.
func (d *depot) cause() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.met
}

// close lets nobody try any more, waits for what is under way, and gives the directory free. It waits for the disk.
func (d *depot) close() error {
	d.mu.Lock()
	d.closed = true
	ended := d.trying
	d.mu.Unlock()
	if ended != nil {
		<-ended
	}
	dir := d.ready()
	if dir == nil {
		return nil
	}
	dir.Drain()
	return dir.Close()
}

// backupsPath returns where the backups are, and why they must not be there.
func (c Config) backupsPath(dir string) (string, error) {
	path, err := store.RealPath(c.FS, c.BackupDir)
	if err != nil {
		return "", err
	}
	separator := c.FS.PathJoin("a", "b")[1:2]
	for _, inner := range []string{"tables", "staging"} {
		reserved := c.FS.PathJoin(dir, inner)
		if path == reserved || strings.HasPrefix(path, reserved+separator) {
			return "", messages.WithHint(fmt.Errorf("backup directory %s lies inside %s: %w", path, reserved, messages.ErrInvalid),
				"leave it empty for DIR/backups, or name a directory outside DIR")
		}
	}
	if path == dir {
		return "", messages.WithHint(fmt.Errorf("backup directory %s is the directory itself: %w", path, messages.ErrInvalid),
			"leave it empty for DIR/backups, or name a directory outside DIR")
	}
	return path, nil
}

// exists tells whether dir is a Gabion directory already: its tables are served, whatever the backups say.
func (c Config) exists(dir string) bool {
	info, err := store.ReadInfo(c.FS, dir)
	return err == nil && info != nil
}
