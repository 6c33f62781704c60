package ops

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

// Whatever the umask is, nobody but the owner can connect, and what the socket was made in is gone.
func TestSocketIsTheOwnersAlone(t *testing.T) {
	h, _ := serving(t)
	info, err := os.Lstat(filepath.Join(h.dir, "gabion.sock"))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(h.dir, "gabion.sock.aside")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the socket was made in is still there: %v", err)
	}
}

// What a killed server left is replaced: its socket, and the directory in which it was making one.
func TestStaleSocketIsReplaced(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d"))
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(h.dir, "gabion.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(h.dir, "gabion.sock.aside", "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), h.dir); !errors.Is(err, ErrNoServer) {
		t.Fatalf("dial of a stale socket: %v", err)
	}
	h.listen(t, bounds{})
	if _, err := dial(t, h.dir).ListTables(t.Context()); err != nil {
		t.Error(err)
	}
}

// A file that is no socket is somebody's: it stays.
func TestForeignFileStays(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d"))
	path := filepath.Join(h.dir, "gabion.sock")
	if err := os.WriteFile(path, []byte("dear reader"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ListenSocket(t.Context(), h.Gabion, SocketOptions{})
	if err == nil || len(messages.Hints(err)) != 1 {
		t.Errorf("listen: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "dear reader" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

func TestListenTwice(t *testing.T) {
	h, c := serving(t)
	if _, err := ListenSocket(t.Context(), h.Gabion, SocketOptions{}); err == nil || !strings.Contains(err.Error(), "served already") {
		t.Errorf("second listen: %v", err)
	}
	if _, err := c.ListTables(t.Context()); err != nil {
		t.Errorf("after the second listen: %v", err)
	}
}

// A path that is longer than a socket's may be works all the same, and leaves no link behind.
func TestLongPath(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, filepath.Join(long, "d")).listen(t, bounds{})
	if _, err := dial(t, h.dir).ListTables(t.Context()); err != nil {
		t.Error(err)
	}
	h.close(t)
	if _, err := os.Lstat(filepath.Join(h.dir, "gabion.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if entries, err := os.ReadDir(temporary); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A temporary directory that is itself too long is passed over.
func TestLongTemporaryDirectory(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("t", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	h := newHost(t, filepath.Join(long, "d")).listen(t, bounds{})
	dial(t, h.dir)
	if entries, err := os.ReadDir(long); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// After Close nobody answers. What another server has put in the socket's place meanwhile stays.
func TestClose(t *testing.T) {
	h, _ := serving(t)
	h.close(t)
	h.close(t)
	if _, err := Dial(t.Context(), h.dir); !errors.Is(err, ErrNoServer) {
		t.Errorf("dial after close: %v", err)
	}
	h.listen(t, bounds{})
	first := h.socket
	listener, info, err := bind(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if now, err := os.Lstat(filepath.Join(h.dir, "gabion.sock")); err != nil || !os.SameFile(now, info) {
		t.Errorf("the other socket: %v", err)
	}
	if err := errors.Join(listener.Close(), unbind(h.dir, info)); err != nil {
		t.Error(err)
	}
}

// A close ends what could take for ever, with an answer.
func TestCloseAnswersStreams(t *testing.T) {
	h, c := serving(t)
	got, first := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		for _, err := range c.FollowEvents(context.Background(), nil) {
			if err != nil {
				got <- err
				return
			}
			select {
			case first <- struct{}{}:
			default:
			}
		}
		got <- nil
	}()
	if err := h.CloseTable(t.Context(), "fruit"); err != nil {
		t.Fatal(err)
	}
	<-first
	h.close(t)
	if err := <-got; !errors.Is(err, messages.ErrUnavailable) || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("events: %v", err)
	}
}

// A close that ctx cuts short says how many requests it left unanswered.
func TestCloseCutShort(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "d")).listen(t, bounds{request: 1 << 20, header: headerTimeout, stall: stallTimeout})
	conn, err := net.Dial("unix", filepath.Join(h.dir, "gabion.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	writeRaw(t, conn, putHead(100)+`{"table":`)
	waitFor(t, func() bool { return h.socket.requests.Load() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = h.socket.Close(ctx)
	if err == nil || !strings.Contains(err.Error(), "1 requests are unanswered") {
		t.Errorf("close: %v", err)
	}
	h.socket.closed = nil // told
}
