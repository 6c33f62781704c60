package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// bindBare is bind without a directory aside, for a disk that has no room for one. Linux gives a socket's file the mode
// that its descriptor had, less the umask, so nobody else can connect at any time. The old socket at path goes first.
func bindBare(path string) (listener *net.UnixListener, info os.FileInfo, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("remove old socket: %w", err)
	}
	closed := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }), err)
	}}
	err = shortly(path, func(short string) error {
		made, err := closed.Listen(context.Background(), "unix", short)
		if err == nil {
			listener = made.(*net.UnixListener)
			listener.SetUnlinkOnClose(false) // by that name it may be another one
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err = os.Chmod(path, 0o600); err == nil { // the umask may have taken bits of the owner's
		info, err = os.Lstat(path)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("name socket: %w", err), listener.Close())
	}
	return listener, info, nil
}
