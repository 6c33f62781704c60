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
	args := []string{"demo", "--dir", dir, "--input", input}
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
