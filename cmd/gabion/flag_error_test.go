package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestFlagsOfNoSense gives every flag of every command values that it cannot take. The error is in words of ours, in one line
// with a hint, or with --json one object; and no directory is looked at.
func TestFlagsOfNoSense(t *testing.T) {
	values := map[string][]string{
		"bool": {"maybe", ""}, "int": {"many", "1.5", "99999999999999999999"}, "uint": {"-2", "many", ""}, "uint64": {"-1", "99999999999999999999"},
		"float64": {"x", "1e999"}, "stringSlice": {"\"", "a\"b"}, "string": nil, "count": nil,
		// These are ours: LoadConfig judges them.
		"TEXT": nil, "PATH": nil, "NAMES": {"A", "a,a"}, "NUMBER": {"x", "1.5", "-1", "99999999999999999999"}, "DURATION": {"5", "x", "-1s"}, "SIZE": {"x", "1XB", "-1"},
		"MODE": {"x", "0077", "99999"},
	}
	texts := map[string][]string{"rate": {"x", "-1", "1"}, "since": {"x", "-1h"}, "at": {"x"}, "format": {"x", ""}, "log-format": {"x"}, "log-level": {"x"},
		"cron": {"x", "99 * * * *"}, "http": {"x"}, "name": {"a b"}}
	tried := 0
	each(newRoot(newOutput(io.Discard)), func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			bad, known := values[f.Value.Type()]
			if !known {
				t.Errorf("%s --%s has the unknown kind %s", cmd.CommandPath(), f.Name, f.Value.Type())
			}
			if f.Value.Type() == "bool" && f.Name != "json" && cmd.Flags().Lookup("config") != nil && cmd.Name() != "health" {
				bad = []string{"maybe"}
			}
			for _, value := range append(bad, texts[f.Name]...) {
				args := append(strings.Fields(cmd.CommandPath())[1:], "--"+f.Name+"="+value)
				args = append(args, arguments(cmd)...)
				if cmd.Flags().Lookup("dir") != nil && cmd.Name() != "bench" {
					args = append(args, "--dir", t.TempDir()+"/none")
				}
				tried++
				var stdout, stderr bytes.Buffer
				if code := execute(t.Context(), args, strings.NewReader(""), &stdout, &stderr); code != exitUsage || stdout.Len() > 0 {
					t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, stdout.String(), stderr.String())
				}
				for _, leak := range []string{"strconv", "parse error", "invalid argument", "encoding/", "ParseInt", "time: ", "Usage", "ulid:"} {
					if strings.Contains(stderr.String(), leak) {
						t.Errorf("%q says %q", args, stderr.String())
					}
				}
				lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
				if !strings.HasPrefix(lines[0], "gabion: ") || len(lines) < 2 || len(lines) > 4 || !strings.HasPrefix(lines[len(lines)-1], "hint: ") ||
					!strings.Contains(lines[0], f.Name) {
					t.Errorf("%q says %q", args, stderr.String())
				}
				if f.Name == "json" {
					continue
				}
				stderr.Reset()
				if code := execute(t.Context(), append(args, "--json"), strings.NewReader(""), &stdout, &stderr); code != exitUsage {
					t.Errorf("%q with --json: exit code %d", args, code)
				}
				var got complaint
				if err := json.Unmarshal(stderr.Bytes(), &got); err != nil || got.Error == "" || len(got.Hints) == 0 || got.Code != "usage" ||
					got.ExitCode != exitUsage || strings.Count(stderr.String(), "\n") != 1 {
					t.Errorf("%q with --json says %q, %v", args, stderr.String(), err)
				}
			}
		})
	})
	if tried < 200 {
		t.Errorf("only %d flags were tried", tried)
	}
}

// arguments are some that the command takes.
func arguments(cmd *cobra.Command) []string {
	switch cmd.CommandPath() {
	case "gabion get", "gabion delete":
		return []string{"a", "k"}
	case "gabion put":
		return []string{"a", "k", "v"}
	case "gabion diff":
		return []string{"a", "a/1"}
	case "gabion pin", "gabion backups show":
		return []string{"a/1"}
	case "gabion config check":
		return []string{"none"}
	}
	if strings.Contains(cmd.Use, " TABLE") {
		return []string{"a"}
	}
	return nil
}

// each calls visit for every command of ours that does something.
func each(cmd *cobra.Command, visit func(*cobra.Command)) {
	if cmd.Name() == "help" || cmd.Name() == "completion" {
		return
	}
	if cmd.Runnable() && cmd.HasParent() && cmd.CommandPath() != "gabion config" {
		_ = cmd.ParseFlags(nil) // so that it knows the flags of the root too
		visit(cmd)
	}
	for _, sub := range cmd.Commands() {
		each(sub, visit)
	}
}
