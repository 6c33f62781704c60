package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

func TestExitCode(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("any"), 1},
		{context.Canceled, 1},
		{usagef("", "what"), 2},
		{messages.Failf(messages.Code_CODE_INVALID_ARGUMENT, "key is empty"), 2},
		{partialError("table is closed"), 3},
		{fmt.Errorf("get: %w", messages.ErrNotFound), 10},
		{fmt.Errorf("lock: %w", store.ErrHeld), 11},
		{fmt.Errorf("run: %w", errNoReader), 0},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("exit code of %v is %d, want %d", test.err, got, test.want)
		}
	}
}

func TestComplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errNoReader, ""},
		{errors.New("one\ntwo"), "gabion: one\ngabion: two\n"},
		{errors.New("bad name \x1b[31m"), `gabion: "bad name \x1b[31m"` + "\n"},
		{messages.WithHint(errors.New("no"), "try"), "gabion: no\nhint: try\n"},
		{
			errors.Join(messages.WithHint(errors.New("a"), "do a"), messages.WithHint(errors.New("b"), "do b")),
			"gabion: a\nhint: do a\ngabion: b\nhint: do b\n",
		},
		{
			messages.WithHint(errors.Join(messages.WithHint(errors.New("a"), "do a"), messages.WithHint(errors.New("b"), "do a")), "all"),
			"gabion: a\ngabion: b\nhint: all\nhint: do a\n",
		},
		{
			errors.Join(fmt.Errorf("walk: %w", context.Canceled), errors.New("disk hangs")),
			"gabion: interrupted\ngabion: disk hangs\n",
		},
		{fmt.Errorf("put: %w: %w", errors.New("a"), errors.New("b")), "gabion: put: a: b\n"},
	} {
		var b bytes.Buffer
		complain(&b, false, test.err)
		if b.String() != test.want {
			t.Errorf("%v gives %q, want %q", test.err, b.String(), test.want)
		}
	}
}

// brokenWriter fails with err once it has taken n bytes.
type brokenWriter struct {
	n   int
	err error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		return w.n, w.err
	}
	w.n -= len(p)
	return len(p), nil
}

// A reader that goes away ends a command without a complaint; a disk that is full does not.
func TestBrokenStdout(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"tables", "health", "backups", "get fruit banana", "scan fruit", "export fruit",
		"put fruit banana yellow", "delete fruit none", "backup", "verify", "diff fruit/1 fruit", "restore fruit", "export fruit --backup 1",
		"version", "health --json", "demo --dir " + t.TempDir(),
	} {
		args := strings.Fields(command)
		if args[0] != "demo" && args[0] != "version" {
			args = append(args, "--dir", dir)
		}
		for err, want := range map[error]int{syscall.EPIPE: 0, syscall.ENOSPC: 1} {
			var stderr bytes.Buffer
			code := execute(t.Context(), args, strings.NewReader(""), &brokenWriter{n: 3, err: err}, &stderr)
			if code != want || (stderr.Len() == 0) != (want == 0) {
				t.Errorf("gabion %s on a stdout with %v: exit code is %d, want %d; stderr is %q", command, err, code, want, stderr.String())
			}
		}
	}
}

// A context that has ended keeps every command from its work, and leaves nothing held.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, command := range []string{"tables", "health", "backups", "get fruit banana", "scan fruit", "export fruit",
		"put fruit banana yellow", "delete fruit banana", "backup", "events", "verify", "diff fruit/1 fruit", "restore fruit", "export fruit --backup 1"} {
		var stderr bytes.Buffer
		code := execute(ctx, append(strings.Fields(command), "--dir", dir), nil, io.Discard, &stderr)
		if code != exitError || stderr.String() != "gabion: interrupted\n" {
			t.Errorf("gabion %s: exit code is %d, stderr is %q", command, code, stderr.String())
		}
	}
	if code := execute(t.Context(), []string{"tables", "--dir", dir}, nil, io.Discard, io.Discard); code != exitOK {
		t.Errorf("after the interruptions the exit code is %d", code)
	}
}
