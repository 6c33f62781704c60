package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestBenchInterrupted: a Ctrl-C while the disk is measured, and one while tables are, leave nothing on the disk.
func TestBenchInterrupted(t *testing.T) {
	for _, there := range []string{"probe", "data"} {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		seconds := "3600"
		if there == "data" {
			seconds = "1"
		}
		go func() {
			for tick := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-tick.C {
				if found, _ := filepath.Glob(filepath.Join(dir, "*", there)); len(found) > 0 {
					cancel()
				}
			}
		}()
		var stderr bytes.Buffer
		code := execute(ctx, []string{"bench", "--dir", dir, "--rows", "1000", "--seconds", seconds}, nil, io.Discard, &stderr)
		cancel()
		if code != exitError || stderr.String() != "gabion: interrupted\n" {
			t.Errorf("interrupted when there was %s: exit code is %d, stderr is %q", there, code, stderr.String())
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("interrupted when there was %s: left %v, %v", there, left, err)
		}
	}
}
