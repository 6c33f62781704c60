package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

// ErrReplaced: a path no longer names the directory that was opened there. Somebody moved, removed or replaced the
// directory, or unmounted its disk.
var ErrReplaced = errors.New("directory is not the one that was opened")

// Place is an open directory: its path, and the device and inode that the path named when it was opened. Its methods may be
// called from any goroutine. A nil Place matches any directory.
type Place struct {
	fs       vfs.FS
	path     string
	identity *messages.FileIdentity // nil where the file system knows none
	// held keeps the directory open: after a removal no new directory must get its inode. Nil where the caller holds it.
	held vfs.File
}

// Occupy opens the directory that path names now. Leave must follow.
func Occupy(fs vfs.FS, path string) (*Place, error) {
	held, err := fs.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", path, err)
	}
	p, err := placeOf(fs, path)
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	p.held = held
	return p, nil
}

// placeOf is Occupy for a directory that the caller holds open as long as it uses the Place.
func placeOf(fs vfs.FS, path string) (*Place, error) {
	identity, err := Identify(fs, path)
	if err != nil {
		return nil, fmt.Errorf("identify directory %s: %w", path, err)
	}
	return &Place{fs: fs, path: path, identity: identity}, nil
}

// Check returns an error that matches ErrReplaced when the path names another directory, or none. Any other error says
// that this cannot be known. Where the file system knows no identities, any directory at the path passes.
func (p *Place) Check() error {
	if p == nil {
		return nil
	}
	info, err := p.fs.Stat(p.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return p.replaced("it is gone")
	case WrongKind(err): // a link, or a directory above it is a file by now
		return p.replaced("it is no directory")
	case err != nil:
		return fmt.Errorf("stat directory %s: %w", p.path, err)
	case !info.IsDir():
		return p.replaced("it is a file")
	case p.identity == nil:
		return nil
	}
	now, err := Identify(p.fs, p.path)
	if errors.Is(err, os.ErrNotExist) {
		return p.replaced("it is gone")
	}
	if err != nil {
		return fmt.Errorf("identify directory %s: %w", p.path, err)
	}
	if now == nil {
		return nil
	}
	if now.GetDevice() != p.identity.GetDevice() {
		return p.replaced("it is on another disk")
	}
	if now.GetInode() != p.identity.GetInode() {
		return p.replaced("another one is in its place")
	}
	return nil
}

func (p *Place) replaced(what string) error {
	return fmt.Errorf("check directory %s: %w: %s", p.path, ErrReplaced, what)
}

// checkOwner is Check, and that gabion.json in the directory still names the store.
func (p *Place) checkOwner(storeID string) error {
	if err := p.Check(); err != nil {
		return err
	}
	info, err := ReadInfo(p.fs, p.path)
	switch {
	case err != nil:
		return err
	case info == nil:
		return p.replaced(infoFile + " is gone")
	case info.GetStoreId() != storeID:
		return p.replaced(fmt.Sprintf("it belongs to store %q", info.GetStoreId()))
	}
	return nil
}

// Leave closes the directory.
func (p *Place) Leave() error {
	if p == nil || p.held == nil {
		return nil
	}
	return p.held.Close()
}
