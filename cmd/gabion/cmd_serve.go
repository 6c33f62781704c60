package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/store"
)

func newServe(*output) *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve tables and back them up until a signal",
		Long: `Serve the tables that lie in --dir, and those that --tables names beside them, and back them up until SIGTERM or
Ctrl-C. The first signal drains: what was accepted is committed and answered, then every table is closed. The second
cuts the drain short; so does --stop-timeout.

The configuration comes from flags, the environment and a YAML file; gabion config show shows what it comes to,
docs/config.md lists every key. The log goes to stderr; "ready" is the line that says that the tables are served.`,
		Example: "  gabion serve --dir DIR\n  gabion serve --config /etc/gabion.yaml\n  gabion serve --dir DIR --tables tasks,mailbox --log-format json",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := flags.load()
			if err != nil {
				return err
			}
			if config.Gabion.Dir == "" {
				return usagef("add --dir DIR, set GABION_DIR, or write dir: DIR into the file", "no directory given")
			}
			logger := config.Logger(cmd.ErrOrStderr())
			look := func() error {
				if err := ops.CheckUser(config.Gabion.Dir, config.Gabion.DirMode); err != nil {
					return err
				}
				return someTables(config)
			}
			if err := lookFirst(config, logger, look); err != nil {
				return err
			}
			go warnOfBackups(config, logger)
			err = serve(cmd.Context(), config, logger)
			if err != nil && config.LogFormat == ops.LogJSON {
				logger.Error("serve ended", "error", err.Error(), "hints", messages.Hints(err))
				return loggedError{err}
			}
			return err
		},
	}
	flags.addFlags(cmd)
	return cmd
}

// slowDisk is how long a start waits for the disk of the directory before it lets HTTP say that it waits.
const slowDisk = 2 * time.Second

// lookFirst returns what look says of the directory. Where its disk does not answer within slowDisk, a log line names it, and the
// start waits for it behind its listeners.
func lookFirst(config *ops.Config, logger *slog.Logger, look func() error) error {
	dir := config.Gabion.Dir
	asked := ops.AskDisk(dir, look)
	err := asked.Within(slowDisk)
	if !errors.Is(err, messages.ErrDeadline) {
		return err
	}
	logger.Warn("disk of the directory does not answer: the start waits for it", "dir", dir, "hints", messages.Hints(err))
	config.Before = func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := asked.Within(slowDisk); !errors.Is(err, messages.ErrDeadline) {
				config.Before = nil
				return err
			}
		}
		return context.Cause(ctx)
	}
	return nil
}

// warnOfBackups logs that others could not use the backups of this user. No table waits for that, nor for the disk.
func warnOfBackups(config *ops.Config, logger *slog.Logger) {
	fs := store.RealFS()
	dir := cmp.Or(config.Gabion.BackupDir, fs.PathJoin(config.Gabion.Dir, store.BackupsDir))
	if err := ops.CheckUser(dir, config.Gabion.DirMode); err != nil {
		logger.Warn("the backups are another user's", "error", err, "hint", strings.Join(messages.Hints(err), "; "))
	}
}

// someTables returns an error where no tables are given and the directory has none. It makes nothing: the path may be wrong.
func someTables(config *ops.Config) error {
	if len(config.Gabion.Tables) > 0 {
		return nil
	}
	fs := store.RealFS()
	if there, err := store.Exists(fs, fs.PathJoin(config.Gabion.Dir, "tables")); err != nil || there {
		return err
	}
	return usagef("correct the path, or name the tables to make: --tables A,B, GABION_TABLES, or tables: [A, B] in the file",
		"no tables given, and directory %s has none", config.Gabion.Dir)
}

// signalEcho is how long after a signal another one counts as the same: timeout(1) and terminals send one to the
// process and one to its group.
const signalEcho = 200 * time.Millisecond

// settle drops the signals that are the same.
func settle(ctx context.Context, signals <-chan os.Signal) {
	for echo := time.After(signalEcho); ; {
		select {
		case <-signals:
		case <-echo:
			return
		case <-ctx.Done():
			return
		}
	}
}

// serve runs a server until the first signal, and stops it. ctx ends by that signal too, but does not tell it from
// the second; so it counts only until the signals are caught here.
func serve(ctx context.Context, config *ops.Config, logger *slog.Logger) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	uncut, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	running, drain := context.WithCancel(uncut)
	defer drain()
	go func() {
		select {
		case s := <-signals:
			logger.Info("draining; a second signal ends at once", "signal", s.String(), "timeout", config.StopTimeout.String())
			drain()
		case <-uncut.Done():
			return
		}
		settle(uncut, signals)
		select {
		case s := <-signals:
			logger.Info("drain is cut short", "signal", s.String())
			cut()
		case <-uncut.Done():
		}
	}()
	for _, v := range config.Values() {
		// A variable that is exported for the other commands is easily forgotten.
		if v.Beats != "" && strings.HasPrefix(v.Source, "environment ") {
			logger.Warn("environment beats the configuration file", "key", v.Key, "value", v.Text, "source", v.Source, "beats", v.Beats)
		}
	}
	server, err := ops.Start(running, config, logger)
	if err != nil && running.Err() != nil && errors.Is(err, context.Canceled) {
		logger.Info("stopped before it was ready", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	logger.Info("ready", "pid", os.Getpid(), "dir", config.Gabion.Dir)
	<-running.Done()
	stopping, end := context.WithTimeout(uncut, config.StopTimeout)
	defer end()
	err = server.Stop(stopping)
	if stopping.Err() != nil {
		// What hangs is to be read, not that a context ended.
		return messages.WithHint(errors.New(err.Error()), strings.Join(messages.Hints(err), "; "))
	}
	return err
}
