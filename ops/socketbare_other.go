//go:build !linux

package ops

import (
	"errors"
	"net"
	"os"
)

// bindBare is for Linux alone: elsewhere everybody could connect to a socket until it gets its mode.
func bindBare(string) (*net.UnixListener, os.FileInfo, error) {
	return nil, nil, errors.ErrUnsupported
}
