package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/store"
)

// hungBackups is the real file system, where each open of a manifest waits for ever.
type hungBackups struct{ vfs.FS }

func (h hungBackups) Unwrap() vfs.FS { return h.FS }

func (h hungBackups) Open(name string, options ...vfs.OpenOption) (vfs.File, error) {
	if filepath.Base(name) == "manifest.json" {
		select {}
	}
	return h.FS.Open(name, options...)
}

// serveHung is gabion serve on hungBackups, for a process of its own. It returns the exit code.
func serveHung(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var flags configFlags
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		config, err := flags.load()
		if err != nil {
			return err
		}
		config.Gabion.FS = hungBackups{store.RealFS()}
		return serve(cmd.Context(), config, config.Logger(cmd.ErrOrStderr()))
	}}
	flags.addFlags(cmd)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	complain(os.Stderr, false, err)
	return exitCode(err)
}

func serveHungCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: servehung NAME ARGS...")
	}
	awaitReady(ts, background(ts, "gabion-hung", args[0], nil, args[1:]))
}
