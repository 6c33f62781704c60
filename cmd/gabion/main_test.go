package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// TestMain lets the scripts call this very binary as gabion.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"gabion":      func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"gabion-hung": func() { os.Exit(serveHung(os.Args[1:])) },
	})
}

// leakChecked fails a run of tests that leaves goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return code
}

// TestScript runs the scripts of testdata/script, each in a directory of its own. Beside testscript's own commands
// there are:
//
//	exits CODE PROGRAM ARGS...   runs the program, which must exit with the code
//	fill DIR                     makes a directory with the tables fruit, bytes and empty, and two backup sets
//	hold DIR                     serves DIR from the process of the test until release, or the script's end
//	modes DIR DIRMODE FILEMODE   looks at the mode of each directory and file in DIR
//	newest VARIABLE DIR [FILE]   sets VARIABLE to the path of the last entry of DIR, or of a FILE in it
//	release                      stops what hold started
//
// and those of cmd_serve_test.go.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GABION_DIR", "")
			env.Values[holderKey{}] = &holder{}
			env.Values[servedKey{}] = make(map[string]*served)
			return nil
		},
		Cmds: scriptCommands(),
		// [root] is for what only root can prepare.
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
	})
}

func scriptCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	commands := maps.Clone(serveCommands)
	commands["exits"] = exits
	commands["fill"] = fillCommand
	commands["hold"] = hold
	commands["modes"] = modes
	commands["newest"] = newest
	commands["release"] = release
	return commands
}

func newest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: newest VARIABLE DIR [FILE]")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[1])) // by name
	ts.Check(err)
	if len(entries) == 0 {
		ts.Fatalf("%s is empty", args[1])
	}
	ts.Setenv(args[0], filepath.Join(append([]string{args[1], entries[len(entries)-1].Name()}, args[2:]...)...))
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code is %d, want %d", code, want)
	}
}

func fillCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fill DIR")
	}
	ts.Check(fill(context.Background(), ts.MkAbs(args[0])))
}

// fill makes a directory whose content every test knows.
func fill(ctx context.Context, dir string) (err error) {
	g, err := actors.Start(ctx, quietSystem(), actors.Config{
		Dir: dir, Tables: []string{"fruit", "bytes", "empty"}, DisableSchedule: true, DisableDrill: true,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Stop(ctx)) }()
	for _, r := range []struct{ table, key, value string }{
		{"fruit", "apple", "green"},
		{"fruit", "banana", "yellow\nlong"},
		{"fruit", "cherry", ""},
		{"fruit", "date", `say "sweet" & <brown>`},
		{"fruit", "durian", "größer"},
		{"bytes", "\x00\xff", "\xff\x01"},
		{"bytes", "hex:", "text"},
		{"bytes", "text", "\xff"},
		{"bytes", `"quoted"`, "q"},
	} {
		if _, err := g.Table(r.table).Put(ctx, []byte(r.key), []byte(r.value)); err != nil {
			return err
		}
	}
	for _, label := range []string{"first", "second"} {
		if _, err := g.Backup(ctx, &messages.BackupAll{Label: label}); err != nil {
			return err
		}
	}
	return nil
}

// holder is the Gabion that hold started for a script. Scripts run in parallel, so each has one of its own.
type holder struct{ end func() }

type holderKey struct{}

func hold(ts *testscript.TestScript, neg bool, args []string) {
	h := ts.Value(holderKey{}).(*holder)
	if neg || len(args) != 1 || h.end != nil {
		ts.Fatalf("usage: hold DIR, once at a time")
	}
	ctx := context.Background()
	g, err := actors.Start(ctx, quietSystem(), actors.Config{
		Dir: ts.MkAbs(args[0]), Tables: []string{"fruit", "bytes", "empty"}, DisableSchedule: true, DisableDrill: true,
	})
	ts.Check(err)
	h.end = func() {
		h.end = nil
		ts.Check(g.Stop(ctx))
	}
	ts.Defer(func() {
		if h.end != nil {
			h.end()
		}
	})
}

func release(ts *testscript.TestScript, neg bool, args []string) {
	h := ts.Value(holderKey{}).(*holder)
	if neg || len(args) != 0 || h.end == nil {
		ts.Fatalf("usage: release, after hold")
	}
	h.end()
}
