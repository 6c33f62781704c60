package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/ops"
)

// TestBackupDirOfAServer: a server answers of its own backups. A command with another backup directory, by its flag, the
// environment or the configuration file, fails, unless it reads these backups beside the server: it must not answer about
// the wrong ones. A command with the same directory, however it is written, is carried out.
func TestBackupDirOfAServer(t *testing.T) {
	root := t.TempDir()
	dir, other, link := filepath.Join(root, "d"), filepath.Join(root, "copy"), filepath.Join(root, "link")
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(other, os.DirFS(filepath.Join(dir, "backups"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "backups"), link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "gabion.yaml")
	if err := os.WriteFile(file, []byte("dir: "+dir+"\nbackup_dir: "+other+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := actors.Start(t.Context(), quietSystem(), actors.Config{Dir: dir, Tables: []string{"fruit", "bytes", "empty"}, DisableSchedule: true, DisableDrill: true})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := ops.ListenSocket(t.Context(), g, ops.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := socket.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := stop(context.WithoutCancel(t.Context()), g); err != nil {
			t.Error(err)
		}
	})
	alone := []string{"backups", "backups show", "verify"} // to which the backups are enough
	lines := map[string]string{
		"backup": "", "backups": "", "backups show": "fruit/1", "delete": "fruit none", "diff": "fruit/1 fruit", "events": "", "export": "fruit",
		"get": "fruit cherry", "health": "", "import": "empty " + os.DevNull, "pin": "fruit/1", "prune": "--dry-run", "put": "fruit a b",
		"restore": "fruit --dry-run", "scan": "fruit", "tables": "", "tables close": "fruit", "tables create": "made", "tables drop": "made",
		"tables open": "fruit", "tables retry": "fruit", "verify": "fruit/1",
	}
	seen := 0
	try := func(line string, how ...string) (int, string) {
		var stderr bytes.Buffer
		args := append(strings.Fields(line), how...)
		return execute(t.Context(), args, strings.NewReader(""), new(bytes.Buffer), &stderr), stderr.String()
	}
	each(newRoot(newOutput(new(bytes.Buffer))), func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "gabion ")
		if cmd.Flags().Lookup("backup-dir") == nil || name == "serve" || name == "config show" {
			return
		}
		rest, ok := lines[name]
		if !ok {
			t.Fatalf("%s has --backup-dir, and the test has no line for it", name)
		}
		seen++
		line := name + " " + rest
		for _, how := range [][]string{{"--dir", dir, "--backup-dir", other}, {"--config", file}, {"--dir", dir, "--backup-dir", filepath.Join(root, "none")}} {
			code, said := try(line, how...)
			if slices.Contains(alone, name) {
				want := exitOK
				if slices.Contains(how, filepath.Join(root, "none")) {
					want = exitNotFound
				}
				if code != want {
					t.Errorf("%s %v: exit code %d, want %d: %s", line, how, code, want, said)
				}
				continue
			}
			if code != exitUsage || !strings.Contains(said, "has its backups in "+filepath.Join(dir, "backups")+", not in ") || !strings.Contains(said, "hint: leave --backup-dir") {
				t.Errorf("%s %v: exit code %d, %s", line, how, code, said)
			}
		}
		t.Setenv("GABION_BACKUP_DIR", other)
		want := exitUsage
		if slices.Contains(alone, name) {
			want = exitOK
		}
		if code, said := try(line, "--dir", dir); code != want {
			t.Errorf("%s with the variable: exit code %d, %s", line, code, said)
		}
		t.Setenv("GABION_BACKUP_DIR", "")
		for _, same := range []string{filepath.Join(dir, "backups"), link} {
			if code, said := try(line, "--dir", dir, "--backup-dir", same); code == exitUsage {
				t.Errorf("%s with the server's own as %s: exit code %d, %s", line, same, code, said)
			}
		}
	})
	if seen != len(lines) {
		t.Errorf("%d commands were seen, want %d", seen, len(lines))
	}
}
