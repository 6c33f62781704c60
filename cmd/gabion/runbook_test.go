package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts of docs anew, as they come out now")

// TestRunbook replays docs/runbook.md.
func TestRunbook(t *testing.T) { replay(t, "../../docs/runbook.md") }

// replay runs every command of the transcripts of a page, in one shell: it must print what stands there, but for times, sizes
// and names that are new each time. A line that begins with "> " goes on with the command. With -rewrite what comes is written
// down.
func replay(t *testing.T, path string) {
	t.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := startShell(t)
	var written strings.Builder
	inside := false
	lines := strings.SplitAfter(string(doc), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		written.WriteString(line)
		if strings.HasPrefix(line, "```") {
			inside = strings.HasPrefix(line, "```console")
		}
		command, ok := strings.CutPrefix(line, "$ ")
		if !inside || !ok {
			continue
		}
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "> ") {
			i++
			written.WriteString(lines[i])
			command += strings.TrimPrefix(lines[i], "> ")
		}
		var want strings.Builder
		for i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "$ ") && !strings.HasPrefix(lines[i+1], "```") {
			i++
			want.WriteString(lines[i])
		}
		got := s.run(strings.TrimSpace(command), want.String())
		written.WriteString(got)
		if !*rewrite && steady(got) != steady(want.String()) {
			t.Errorf("%s: $ %sprints\n%swhere the page says\n%s", path, command, got, want.String())
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(written.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// unsteady is what differs from one run to the next, and what stands for it.
var unsteady = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d[:-]\d\d[:-]\d\dZ`), "TIME"},
	{regexp.MustCompile(`\b01[0-9A-HJKMNP-TV-Z]{24}\b`), "ULID"},
	{regexp.MustCompile(`\.\.[0-9A-HJKMNP-TV-Z]{8}\b`), "..LINEAGE"},
	{regexp.MustCompile(`\b(in )?\d+(\.\d+)?(µs|ms|[smhd])( \d+[smh])?( ago)?\b`), "AGE"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (B|KiB|MiB)\b`), "SIZE"},
	{regexp.MustCompile(`\b[0-9a-f]{12}…`), "HASH"},
	{regexp.MustCompile(`\b\d{6}\.sst\b`), "SSTABLE"},
	{regexp.MustCompile(`\bfile \d{6}: block \d+/\d+: crc32c checksum mismatch [0-9a-f]+ != [0-9a-f]+`), "DAMAGE"},
	{regexp.MustCompile(`\d+%`), "SHARE"},
	{regexp.MustCompile(`\[\d+\] \d+`), "JOB"},
	{regexp.MustCompile(`/[^ ]*/data\b`), "data"},
	{regexp.MustCompile(`[ -]*\n`), "\n"},
	{regexp.MustCompile(` {2,}`), " "},
}

// steady is a text without what differs from one run to the next.
func steady(text string) string {
	for _, u := range unsteady {
		text = u.pattern.ReplaceAllString(text, u.stands)
	}
	return text
}

// shell is a bash that runs one command after another.
type shell struct {
	t     *testing.T
	dir   string
	stdin io.Writer
	out   *bufio.Reader
	turn  int
}

func startShell(t *testing.T) *shell {
	dir := t.TempDir()
	cmd := exec.Command("bash", "--norc")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GABION_DIR=", "PS1=")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	t.Cleanup(func() {
		fmt.Fprintln(stdin, "kill -9 $(jobs -p) 2>/dev/null; exit")
		_ = cmd.Wait() // killed jobs are no failure
		_ = r.Close()
	})
	return &shell{t: t, dir: dir, stdin: stdin, out: bufio.NewReader(r)}
}

// run returns what a command prints, on stdout and stderr, and its exit code where it is not 0. A server that it starts is
// ready when run returns. Health that is not yet what is wanted is asked again: what a read has met is looked into beside.
func (s *shell) run(command, want string) string {
	s.t.Helper()
	deadline := time.Now().Add(patienceForScript)
	for {
		got := s.once(command)
		if !strings.HasPrefix(command, "gabion health") || *rewrite && strings.TrimSpace(want) == "" || steady(got) == steady(want) || time.Now().After(deadline) {
			if strings.HasSuffix(command, "&") {
				s.awaitServer()
			}
			return got
		}
		if *rewrite && time.Until(deadline) < patienceForScript-2*time.Second {
			return got
		}
	}
}

func (s *shell) once(command string) string {
	s.t.Helper()
	s.turn++
	mark := "--- turn " + strconv.Itoa(s.turn) + " "
	if strings.HasSuffix(command, "&") {
		fmt.Fprintf(s.stdin, "%s\necho '%s'0\n", command, mark)
	} else {
		fmt.Fprintf(s.stdin, "{ %s\n} 2>&1; echo '%s'$?\n", command, mark)
	}
	var got strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			s.t.Fatalf("shell ended in %q: %v\n%s", command, err, got.String())
		}
		before, code, ok := strings.Cut(line, mark)
		if !ok {
			got.WriteString(strings.ReplaceAll(line, s.dir, "/srv"))
			continue
		}
		got.WriteString(strings.ReplaceAll(before, s.dir, "/srv"))
		if code = strings.TrimSpace(code); code != "0" {
			fmt.Fprintf(&got, "[exit code %s]\n", code)
		}
		return got.String()
	}
}

// awaitServer waits until the server that was started last says that it is ready.
func (s *shell) awaitServer() {
	s.t.Helper()
	for deadline := time.Now().Add(patienceForScript); ; {
		log, err := os.ReadFile(filepath.Join(s.dir, "serve.log"))
		if err == nil && strings.Contains(string(log), "msg=ready") {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the server did not get ready: %v\n%s", err, log)
		}
	}
}
