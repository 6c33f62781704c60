package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal returns both ends of a terminal: what is written to the second is read from the first.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	var number, unlocked int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, screen.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() }) // a test may have closed it
	return screen, terminal
}

// TestProgressOnTerminal: an import draws how far it is on a terminal, and takes the line away; into a file or a pipe it
// draws nothing.
func TestProgressOnTerminal(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i := range 2 * batchRows {
		fmt.Fprintf(&lines, "{\"key\":\"%05d\",\"value\":\"v\"}\n", i)
	}
	file := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	importTo := func(stderr io.Writer) {
		t.Helper()
		if code := execute(t.Context(), []string{"import", "empty", file, "--dir", dir}, nil, io.Discard, stderr); code != exitOK {
			t.Fatalf("exit code is %d", code)
		}
	}
	screen, terminal := openTerminal(t)
	drawn := make(chan []byte)
	go func() {
		data, _ := io.ReadAll(screen) // it ends with an error when nobody has the terminal open
		drawn <- data
	}()
	importTo(terminal)
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	const first, gone = "\r\x1b[K[", "\r\x1b[K"
	if data := string(<-drawn); !strings.HasPrefix(data, first) || !strings.Contains(data, fmt.Sprintf("%%  %d rows, ", batchRows)) ||
		!strings.HasSuffix(data, gone) {
		t.Errorf("on a terminal it draws %q", data)
	}
	plain, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var piped bytes.Buffer
	importTo(plain)
	importTo(&piped)
	if info, err := plain.Stat(); err != nil || info.Size() > 0 || piped.Len() > 0 {
		t.Errorf("a file gets %d B, a pipe %q, %v", info.Size(), piped.String(), err)
	}
}

// TestGetOnATerminal ends with a newline, and with one alone; a file gets the value byte for byte.
func TestGetOnATerminal(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ value, want string }{{"red", "red\r\n"}, {"red\n", "red\r\n"}, {"", "\r\n"}} {
		if code := execute(t.Context(), []string{"put", "fruit", "apple", test.value, "--dir", dir}, nil, io.Discard, io.Discard); code != exitOK {
			t.Fatalf("put %q: exit code is %d", test.value, code)
		}
		screen, terminal := openTerminal(t)
		drawn := make(chan []byte)
		go func() {
			data, _ := io.ReadAll(screen)
			drawn <- data
		}()
		plain, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
		if err != nil {
			t.Fatal(err)
		}
		for _, stdout := range []*os.File{terminal, plain} {
			if code := execute(t.Context(), []string{"get", "fruit", "apple", "--dir", dir}, nil, stdout, io.Discard); code != exitOK {
				t.Fatalf("exit code is %d", code)
			}
			if err := stdout.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if data := string(<-drawn); data != test.want {
			t.Errorf("%q is %q on a terminal, want %q", test.value, data, test.want)
		}
		if data, err := os.ReadFile(plain.Name()); err != nil || string(data) != test.value {
			t.Errorf("%q is %q in a file, %v", test.value, data, err)
		}
	}
}
