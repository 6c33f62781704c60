//go:build !windows

package ops

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// The mode of the socket does not depend on the umask, and what it is made in lets nobody else in.
func TestSocketWithoutUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{})
	info, err := os.Lstat(filepath.Join(h.dir, "gabion.sock"))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	aside, err := makeAside(h.dir, os.Mkdir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(aside); err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("mode of the directory aside is %v, %v", info.Mode(), err)
	}
}

// foreignSockets are ways to listen where a Gabion wants to.
var foreignSockets = map[string]func(path string) (io.Closer, error){
	"stream":    func(path string) (io.Closer, error) { return net.Listen("unix", path) },
	"datagrams": func(path string) (io.Closer, error) { return net.ListenPacket("unixgram", path) },
}

// The socket of a program that lives stays, whatever that program does with it; a start says so, and gives the
// directories free.
func TestForeignSocketStays(t *testing.T) {
	for name, listen := range foreignSockets {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := newHost(t, dir).Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "gabion.sock")
			foreign, err := listen(path)
			if err != nil {
				t.Fatal(err)
			}
			defer foreign.Close()
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			config := &Config{Gabion: actors.Config{Dir: dir, Tables: []string{"fruit"}, DisableSchedule: true}}
			if _, err := Start(t.Context(), config, nil); err == nil || !strings.Contains(err.Error(), "gabion.sock is ") ||
				!strings.Contains(strings.Join(messages.Hints(err), ""), "stop the program that listens there") {
				t.Errorf("start: %v, hints %q", err, messages.Hints(err))
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("the socket is gone: %v", err)
			}
			config.DisableSocket = true
			s, err := Start(t.Context(), config, nil)
			if err != nil {
				t.Fatalf("the directory is not free: %v", err)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
