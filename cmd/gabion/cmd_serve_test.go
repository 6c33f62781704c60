package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patienceForScript bounds what a script waits for.
const patienceForScript = 30 * time.Second

// served is a gabion that a script started, and its log so far.
type served struct {
	cmd   *exec.Cmd
	stdin *os.File // what the script writes to, where it does

	mu    sync.Mutex
	log   bytes.Buffer
	grown chan struct{} // closed, and made anew, when log grows or ends
	ended chan struct{} // closed when the process has ended
}

func (s *served) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.grown)
	s.grown = make(chan struct{})
	return s.log.Write(p)
}

// logged waits until the log matches. False is a process that ended, or took too long.
func (s *served) logged(pattern *regexp.Regexp) (found bool, log string) {
	late := time.After(patienceForScript)
	for {
		s.mu.Lock()
		log, grown := s.log.String(), s.grown
		s.mu.Unlock()
		if pattern.MatchString(log) {
			return true, log
		}
		select {
		case <-grown:
		case <-s.ended:
			s.mu.Lock()
			defer s.mu.Unlock()
			return pattern.Match(s.log.Bytes()), s.log.String()
		case <-late:
			return false, log
		}
	}
}

type servedKey struct{}

// serveCommands are the commands of scripts around "gabion serve":
//
//	serve NAME ARGS...     runs gabion serve with ARGS in the background until its log says ready
//	follow NAME ARGS...    runs gabion with ARGS in the background; its output is its log
//	signal NAME SIGNAL     sends INT, TERM or KILL to it
//	logged NAME REGEXP     waits until its log matches
//	quiet NAME REGEXP      watches its log until signals count as new ones; it must not match meanwhile, nor may it end
//	ended NAME CODE        waits for its end, with that exit code; a killed one has -1
//	feed, starve, waitrow, imported: see cmd_import_signal_test.go
//	servehung NAME ARGS... is serve with a disk of the backups that hangs, see serve_hung_test.go
var serveCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"follow":    followCommand,
	"feed":      feedCommand,
	"starve":    starveCommand,
	"waitrow":   waitRowCommand,
	"imported":  importedCommand,
	"serve":     serveCommand,
	"signal":    signalCommand,
	"logged":    loggedCommand,
	"quiet":     quietCommand,
	"ended":     endedCommand,
	"servehung": serveHungCommand,
}

func serveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve NAME ARGS...")
	}
	awaitReady(ts, background(ts, "gabion", args[0], nil, append([]string{"serve"}, args[1:]...)))
}

func awaitReady(ts *testscript.TestScript, s *served) {
	if found, log := s.logged(regexp.MustCompile(`(?m)msg"?[=:]"?ready`)); !found {
		ts.Fatalf("gabion serve did not get ready:\n%s", log)
	}
}

func followCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: follow NAME ARGS...")
	}
	background(ts, "gabion", args[0], nil, args[1:])
}

// background runs gabion, or a program like it, until it ends, or the script does.
func background(ts *testscript.TestScript, program, name string, stdin *os.File, args []string) *served {
	cmd := exec.Command(program, args...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "GABION_DIR="+ts.Getenv("GABION_DIR"))
	s := &served{cmd: cmd, grown: make(chan struct{}), ended: make(chan struct{})}
	cmd.Stderr, cmd.Stdout = s, s
	ts.Check(cmd.Start())
	go func() {
		defer close(s.ended)
		_ = cmd.Wait() // the exit code is read from the process's state
	}()
	ts.Value(servedKey{}).(map[string]*served)[name] = s
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-s.ended
	})
	return s
}

func theServed(ts *testscript.TestScript, args []string, want int, usage string) *served {
	if len(args) != want {
		ts.Fatalf("usage: %s", usage)
	}
	s := ts.Value(servedKey{}).(map[string]*served)[args[0]]
	if s == nil {
		ts.Fatalf("nothing named %s was served", args[0])
	}
	return s
}

func signalCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := theServed(ts, args, 2, "signal NAME INT|TERM|KILL")
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill}
	ts.Check(s.cmd.Process.Signal(signals[args[1]]))
}

func loggedCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := theServed(ts, args, 2, "logged NAME REGEXP")
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if neg {
		s.mu.Lock()
		defer s.mu.Unlock()
		if pattern.Match(s.log.Bytes()) {
			ts.Fatalf("%s is in the log:\n%s", args[1], s.log.Bytes())
		}
		return
	}
	if found, log := s.logged(pattern); !found {
		ts.Fatalf("%s is not in the log:\n%s", args[1], log)
	}
}

func quietCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := theServed(ts, args, 2, "quiet NAME REGEXP")
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	select {
	case <-time.After(2 * signalEcho):
	case <-s.ended:
		ts.Check(errors.New("it has ended"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if pattern.Match(s.log.Bytes()) {
		ts.Fatalf("%s is in the log:\n%s", args[1], s.log.Bytes())
	}
}

func endedCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := theServed(ts, args, 2, "ended NAME CODE")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	select {
	case <-s.ended:
	case <-time.After(patienceForScript):
		ts.Check(errors.New("it still runs"))
	}
	if code := s.cmd.ProcessState.ExitCode(); code != want {
		s.mu.Lock()
		defer s.mu.Unlock()
		ts.Fatalf("exit code is %d, want %d:\n%s", code, want, s.log.Bytes())
	}
}

// hangManifestCommand makes the newest backup of every table unreadable for ever: opening its manifest waits for a
// writer that never comes.
