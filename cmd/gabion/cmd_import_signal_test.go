package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The commands of scripts around an import that a signal ends:
//
//	feed NAME FILE ARGS...      runs gabion with ARGS in the background, with FILE on a standard input that goes on
//	starve NAME                 ends that standard input
//	waitrow TABLE KEY DIR       waits until a server has the row
//	imported NAME TABLE DIR     checks that what NAME says it imported, the rows 0001 and on, is all that the table has

func feedCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: feed NAME FILE ARGS...")
	}
	r, w, err := os.Pipe()
	ts.Check(err)
	s := background(ts, "gabion", args[0], r, args[2:])
	s.stdin = w
	ts.Check(r.Close()) // the process has its own
	ts.Defer(func() {
		<-s.ended
		_ = w.Close() // starve may have closed it
	})
	// More than a pipe holds: the process reads by the time that this returns.
	_, err = w.WriteString(ts.ReadFile(args[1]))
	ts.Check(err)
}

func starveCommand(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(theServed(ts, args, 1, "starve NAME").stdin.Close())
}

func waitRowCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: waitrow TABLE KEY DIR")
	}
	for late := time.After(patienceForScript); ; {
		err := ts.Exec("gabion", "get", args[0], args[1], "--dir", args[2])
		if err == nil {
			return
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitNotFound {
			ts.Fatalf("get row %s: %v", args[1], err)
		}
		select {
		case <-late:
			ts.Fatalf("row %s does not come", args[1])
		default:
		}
	}
}

var importedText = regexp.MustCompile(`imported (\d+) rows? in .*; the next line is (\d+)`)

func importedCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: imported NAME TABLE DIR")
	}
	s := theServed(ts, args[:1], 1, "")
	<-s.ended
	match := importedText.FindSubmatch(s.log.Bytes())
	if match == nil {
		ts.Fatalf("nothing is said of what was imported:\n%s", s.log.Bytes())
	}
	rows, err := strconv.Atoi(string(match[1]))
	ts.Check(err)
	if next, err := strconv.Atoi(string(match[2])); err != nil || next != rows+1 {
		ts.Fatalf("%d rows are imported, the next line is %s", rows, match[2])
	}
	cmd := exec.Command("gabion", "export", args[1], "--dir", ts.MkAbs(args[2]))
	out, err := cmd.Output()
	ts.Check(err)
	if n := bytes.Count(out, []byte("\n")); n != rows {
		ts.Fatalf("%d rows are imported, %d are there", rows, n)
	}
	if last := []byte(fmt.Sprintf("{\"key\":\"%04d\"", rows)); rows > 0 && !bytes.Contains(out, last) {
		ts.Fatalf("row %d is not there", rows)
	}
	ts.Logf("%d rows were imported", rows)
}
