package ops

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Elsewhere a socket whose queue is full looks like a dead one.
func init() {
	foreignSockets["full queue"] = func(path string) (io.Closer, error) {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			return nil, err
		}
		listener := os.NewFile(uintptr(fd), path)
		if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
			return listener, err
		}
		waiting, err := net.Dial("unix", path)
		if err != nil {
			return listener, err
		}
		return listener, waiting.Close() // it stays in the queue
	}
}
