package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// cancelOn cancels once what it is given holds text.
type cancelOn struct {
	text   string
	cancel context.CancelFunc
	seen   bytes.Buffer
}

func (c *cancelOn) Write(p []byte) (int, error) {
	c.seen.Write(p)
	if strings.Contains(c.seen.String(), c.text) {
		c.cancel()
	}
	return len(p), nil
}

// A Ctrl-C at any point of the demo ends it cleanly, and the next one goes on in the same directory.
func TestDemoInterrupted(t *testing.T) {
	dir, input := t.TempDir(), t.TempDir()+"/input"
	if err := os.WriteFile(input, bundled, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"demo", "--dir", dir, "--input", input, "--verbose"}
	for _, text := range []string{"9 tables", "imported", "backup started", "Run 2", "Run 3", "table closed", "Run 4", "Health"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var stderr bytes.Buffer
		out := &cancelOn{text: text, cancel: cancel}
		code := execute(ctx, args, nil, out, &stderr)
		// After the last run nothing is left to interrupt.
		if text == "Health" && code == exitOK {
			continue
		}
		if code != exitError || stderr.String() != "gabion: interrupted\n" {
			t.Errorf("interrupted at %q: exit code is %d, stderr is %q, stdout ends %q", text, code, stderr.String(), out.seen.String())
		}
		if _, err := os.Stat(dir + "/owner.json"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("interrupted at %q: the directory is still held: %v", text, err)
		}
	}
	var stderr bytes.Buffer
	if code := execute(t.Context(), args, nil, io.Discard, &stderr); code != exitOK {
		t.Errorf("the demo after them: exit code is %d: %s", code, stderr.String())
	}
}

// The demo fits into a screen and a half, also when it is run again on its directory.
func TestDemoFits(t *testing.T) {
	dir, input := t.TempDir(), t.TempDir()+"/input"
	if err := os.WriteFile(input, bundled, 0o600); err != nil {
		t.Fatal(err)
	}
	for run := range 2 {
		var stdout, stderr bytes.Buffer
		if code := execute(t.Context(), []string{"demo", "--dir", dir, "--input", input}, nil, &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
			t.Fatalf("exit code is %d: %s", code, stderr.String())
		}
		// As long as the name of a directory that the demo makes itself.
		text := strings.NewReplacer(dir, "/tmp/gabion-demo-1234567890", input, dpkgStatus, program(), "go run ./cmd/gabion").Replace(stdout.String())
		if lines := strings.Count(text, "\n"); lines > 36 {
			t.Errorf("run %d prints %d lines, want 36 at most:\n%s", run, lines, text)
		}
		for line := range strings.Lines(text) {
			if n := len(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("run %d prints a line of %d columns, want 100 at most: %s", run, n, line)
			}
		}
		if again := strings.Contains(text, "An earlier demo filled the directory."); again != (run > 0) {
			t.Errorf("run %d says that it is not the first: %v", run, again)
		}
	}
}

// stops is an input that fails the test unless what is about to be read was said before.
type stops struct {
	io.Reader
	check func()
}

func (s stops) Read(p []byte) (int, error) {
	s.check()
	return s.Reader.Read(p)
}

func (s stops) Close() error { return nil }

// The demo names its input before it reads a byte of it.
func TestDemoSaysWhatItReads(t *testing.T) {
	tellers := map[string]func(*output) teller{
		"brief":   func(o *output) teller { return &briefTeller{textTeller: textTeller{o}} },
		"verbose": func(o *output) teller { return textTeller{o} },
		"JSON":    func(o *output) teller { return jsonTeller{o} },
	}
	for name, tell := range tellers {
		var stdout bytes.Buffer
		reads := 0
		open := func(string) (io.ReadCloser, string, error) {
			return stops{bytes.NewReader(bundled), func() {
				if reads++; !strings.Contains(stdout.String(), "the input of the test") {
					t.Errorf("%s: read before it was said; stdout is %q", name, stdout.String())
				}
			}}, "the input of the test", nil
		}
		d := &demo{dir: t.TempDir(), open: open, tell: tell(newOutput(&stdout))}
		if err := d.run(t.Context()); err != nil || reads == 0 {
			t.Errorf("%s: read %d times: %v", name, reads, err)
		}
	}
}

// The bundled input has something for every table.
func TestBundledInput(t *testing.T) {
	all, err := readAll(bytes.NewReader(bundled))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 10 {
		t.Errorf("it has %d paragraphs, want 10", len(all))
	}
	filled := map[string]bool{agentChannels: true, agentcomConfig: true} // by the import itself
	for i, p := range all {
		for _, r := range rowsOf(p, i+1) {
			filled[r.table] = true
		}
	}
	for _, table := range demoTables {
		if !filled[table] {
			t.Errorf("nothing for table %s", table)
		}
	}
}

// The first failure of a row reaches whoever puts the next, and every row is answered.
func TestWriterFailure(t *testing.T) {
	system := quietSystem()
	g, err := actors.Start(t.Context(), system, actors.Config{
		Dir: t.TempDir(), Tables: []string{"fruit", "bytes"}, DisableSchedule: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(t.Context(), g); err != nil {
			t.Error(err)
		}
	}()
	if err := g.CloseTable(t.Context(), "bytes"); err != nil {
		t.Fatal(err)
	}
	w := startWriting(system, g)
	defer w.stop()
	for range 3 * window {
		if err = w.put(t.Context(), row{"fruit", "apple", []byte("green")}); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.put(t.Context(), row{"bytes", "a", nil})
	if err := w.finish(t.Context()); !errors.Is(err, messages.ErrUnavailable) {
		t.Errorf("error is %v, want %v", err, messages.ErrUnavailable)
	}
	if got := w.rows.Load(); got != 3*window {
		t.Errorf("%d rows were written, want %d", got, 3*window)
	}
}
