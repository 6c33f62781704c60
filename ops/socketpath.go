package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// socketFile is the socket's name in DIR.
	socketFile = "gabion.sock"
	// asideDir is where a socket is made before it gets its name. Nobody but the owner can enter it.
	asideDir = socketFile + ".aside"
	// longestPath is the longest path that every system takes for a socket: macOS has 104 bytes, Linux 108, with
	// the zero at the end.
	longestPath = 100
)

// socketPath is where the socket of dir lies.
func socketPath(dir string) (string, error) {
	real, err := store.RealPath(store.RealFS(), dir)
	if err != nil {
		return "", err
	}
	return filepath.Join(real, socketFile), nil
}

// shortly calls use with a path for the socket that every system takes. A long one leads through a link in a
// directory of our own, which is gone afterwards: the link counts while a socket is bound or connected, not later.
func shortly(path string, use func(path string) error) (err error) {
	if len(path) <= longestPath {
		return use(path)
	}
	temporary, err := shortDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	link := filepath.Join(temporary, "d")
	if err := os.Symlink(filepath.Dir(path), link); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	return use(filepath.Join(link, filepath.Base(path)))
}

// errNoShortPath: the path of a socket is too long for the system, and no temporary directory can be made that shortens it.
var errNoShortPath = errors.New("no short path to the socket can be made")

// shortDir makes a directory with a short path.
func shortDir() (string, error) {
	var errs []error
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(parent, "gabion-")
		if err == nil && len(dir)+len("/d/")+len(socketFile) <= longestPath {
			return dir, nil
		}
		if err == nil {
			err = errors.Join(fmt.Errorf("%s is too long", dir), os.Remove(dir))
		}
		errs = append(errs, err)
	}
	return "", messages.WithHint(fmt.Errorf("%w: %w", errNoShortPath, errors.Join(errs...)),
		"set TMPDIR to a directory with a short path")
}

// bind makes the socket of dir and listens on it, so that at no time anybody but the owner can connect: it is made in
// a directory that is closed to others, gets its mode there, and then its name, in the place of what a killed
// server left. A crash before the rename leaves the directory aside, which the next bind removes. The lock on
// dir keeps a second server away; the caller holds it.
//
// Where the disk has no room for the directory aside, the socket is made in its place if the system can close it to others
// from the start.
func bind(dir string) (*net.UnixListener, os.FileInfo, error) { return bindBy(dir, os.Mkdir) }

func bindBy(dir string, mkdir func(string, os.FileMode) error) (listener *net.UnixListener, info os.FileInfo, err error) {
	path := filepath.Join(dir, socketFile)
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, nil, messages.WithHint(fmt.Errorf("%w: %s is no socket", errTaken, path), "remove the file, or move it away")
	}
	aside, err := makeAside(dir, mkdir)
	if store.NoRoom(err) {
		if listener, info, bare := bindBare(path); bare == nil {
			return listener, info, nil
		}
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, removeAside(aside)) }()
	made := filepath.Join(aside, "s")
	err = shortly(made, func(short string) error {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// It knows only the path that it was bound under.
	listener.SetUnlinkOnClose(false)
	if err = os.Chmod(made, 0o600); err == nil {
		if info, err = os.Lstat(made); err == nil {
			err = os.Rename(made, path)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("name socket: %w", err), listener.Close())
	}
	return listener, info, nil
}

// removeAside removes the directory aside, with the socket in it and nothing else.
func removeAside(aside string) error {
	info, err := os.Lstat(aside)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", aside)
	}
	if err == nil {
		if err = os.Remove(filepath.Join(aside, "s")); err == nil || errors.Is(err, os.ErrNotExist) {
			err = os.Remove(aside)
		}
	}
	if err != nil {
		return messages.WithHint(fmt.Errorf("remove old socket: %w", err), "move away what stands there, which is none of Gabion's")
	}
	return nil
}

// makeAside makes the directory aside of dir anew.
func makeAside(dir string, mkdir func(string, os.FileMode) error) (string, error) {
	aside := filepath.Join(dir, asideDir)
	err := removeAside(aside)
	if errors.Is(err, os.ErrPermission) {
		// A killed server of another user left it, and only that user can look into it.
		aside = fmt.Sprintf("%s-%d", aside, os.Geteuid())
		err = removeAside(aside)
	}
	if err != nil {
		return "", err
	}
	if err = mkdir(aside, 0o700); err != nil {
		err = fmt.Errorf("make socket: %w", err)
		if store.NoRoom(err) {
			err = messages.WithHint(err, "free space on the disk of DIR")
		}
		if errors.Is(err, os.ErrNotExist) {
			err = messages.WithHint(err, "a socket needs a directory of the operating system: Config.FS must be nil")
		}
		return "", err
	}
	return aside, nil
}

// unbind removes the socket of dir, unless it is another one by now.
func unbind(dir string, info os.FileInfo) error {
	path := filepath.Join(dir, socketFile)
	if now, err := os.Lstat(path); err != nil || !os.SameFile(info, now) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove socket: %w", err)
	}
	return nil
}

// connectTo connects to the socket at path. Where nobody listens the error matches ErrNoServer.
func connectTo(ctx context.Context, path string) (conn net.Conn, err error) {
	// A long path needs a temporary directory, which an absent socket does not.
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w on %s: there is no socket", ErrNoServer, path)
	}
	err = shortly(path, func(short string) error {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", short)
		return err
	})
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%w on %s: there is no socket", ErrNoServer, path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on %s: nobody listens", ErrNoServer, path)
	case errors.Is(err, os.ErrPermission):
		return nil, messages.WithHint(fmt.Errorf("connect to %s: %w", path, err),
			"the socket is its owner's alone: run as the user who runs the server")
	}
	return nil, fmt.Errorf("connect to %s: %w", path, err)
}
