// Command gabion looks into a directory of durable tables, and shows in one demo what Gabion does.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run carries out one command line and returns its exit code. The first Ctrl-C or SIGTERM ends the command
// cleanly; the second ends the process at once.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Otherwise a closed stdout would kill the process before it has given its directories free.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return execute(ctx, args, stdin, stdout, stderr)
}

// execute is run without signals.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := newOutput(stdout)
	root := newRoot(out)
	// Cobra would take a nil slice for the process's own arguments.
	root.SetArgs(append([]string{}, args...))
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, args, err) })
	err := root.ExecuteContext(ctx)
	if flushErr := out.flush(); err == nil {
		err = flushErr
	}
	complain(stderr, out.json || asksJSON(args), err)
	return exitCode(err)
}
