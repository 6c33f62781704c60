package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/store"
)

// hangingFS is the real file system, where one sstable of the backups of fruit, the first that is asked for, is not opened while
// it hangs: whoever reads the backup waits at it, once, however many goroutines it reads by.
type hangingFS struct {
	vfs.FS
	hangs   atomic.Bool
	name    atomic.Pointer[string] // of the sstable
	waiting chan struct{}          // gets one for each open that waits
	goOn    chan struct{}
}

func (h *hangingFS) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	if h.hangs.Load() && strings.Contains(name, "/backups/fruit/") && strings.HasSuffix(name, ".sst") &&
		(h.name.CompareAndSwap(nil, &name) || *h.name.Load() == name) {
		h.waiting <- struct{}{}
		<-h.goOn
	}
	return h.FS.Open(name, options...)
}

// A Ctrl-C ends the command and not the restore, which the server goes on with; the command says so. A verify ends, and what it
// has found is printed.
func TestInterruptedByServer(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	fs := &hangingFS{FS: store.RealFS(), waiting: make(chan struct{}, 100), goOn: make(chan struct{})}
	g, err := actors.Start(t.Context(), quietSystem(), actors.Config{
		Dir: dir, Tables: []string{"fruit", "bytes", "empty"}, DisableSchedule: true, DisableDrill: true, FS: fs,
	})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := ops.ListenSocket(t.Context(), g, ops.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	restored := make(chan struct{}, 1)
	g.Subscribe(func(m proto.Message) {
		if _, ok := m.(*messages.TableRestored); ok {
			restored <- struct{}{}
		}
	})
	fs.hangs.Store(true)
	// interrupted runs a command until it waits for the disk, and returns what it prints on both.
	interrupted := func(args ...string) (stdout, stderr string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			<-fs.waiting
			cancel()
		}()
		var out, errs bytes.Buffer
		if code := execute(ctx, append(args, "--dir", dir), nil, &out, &errs); code != exitError {
			t.Errorf("gabion %s: exit code is %d", args, code)
		}
		return out.String(), errs.String()
	}
	if stdout, stderr := interrupted("verify"); stderr != "gabion: interrupted\n" || strings.Contains(stdout, "fruit") {
		t.Errorf("verify prints\n%s%s", stdout, stderr)
	}
	// Without a wire between, all that came before is there.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-fs.waiting
		cancel()
	}()
	var printed bytes.Buffer
	cmd, out := &cobra.Command{}, newOutput(&printed)
	cmd.SetContext(ctx)
	cmd.SetErr(io.Discard)
	err = verify(cmd, &ops.Session{Access: g}, &messages.VerifyBackup{}, out)
	if flushErr := out.flush(); !errors.Is(err, context.Canceled) || flushErr != nil || strings.Count(printed.String(), "proven") != 2 {
		t.Errorf("verify ends with %v, %v, and prints\n%s", err, flushErr, printed.String())
	}
	stdout, stderr := interrupted("restore", "fruit")
	if stdout != "" || stderr != "gabion: interrupted\nhint: the server goes on with the restore; gabion events tells how it ended\n" {
		t.Errorf("restore prints\n%s%s", stdout, stderr)
	}
	fs.hangs.Store(false)
	close(fs.goOn)
	<-restored
	if err := socket.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := g.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if code := execute(t.Context(), []string{"verify", "fruit/1", "--dir", dir}, nil, io.Discard, io.Discard); code != exitOK {
		t.Errorf("after the interruptions the exit code is %d", code)
	}
}
