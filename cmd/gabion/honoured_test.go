package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/ops"
)

// served starts a server of what fill makes, in a directory of the test.
func servedFill(t *testing.T, change func(*actors.Config)) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	config := actors.Config{Dir: dir, Tables: []string{"fruit", "bytes", "empty"}, DisableSchedule: true, DisableDrill: true}
	if change != nil {
		change(&config)
	}
	g, err := actors.Start(t.Context(), quietSystem(), config)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := ops.ListenSocket(t.Context(), g, ops.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := socket.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := stop(ctx, g); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestRulesOfAServer: prune goes by the server's rules. Each rule that a flag, the environment or a file gives otherwise is an error, and
// none is ignored; one that is the same is no error.
func TestRulesOfAServer(t *testing.T) {
	dir := servedFill(t, func(c *actors.Config) {
		c.Keep, c.KeepHourly, c.KeepDaily, c.KeepWeekly, c.KeepMonthly, c.KeepWithin = 7, 7, 7, 7, 7, 7*time.Minute
	})
	file := filepath.Join(t.TempDir(), "gabion.yaml")
	seen := 0
	for _, s := range ops.Settings() {
		if !s.IsRule() {
			continue
		}
		seen++
		same, other := "7", "8"
		if s.Kind == ops.Duration {
			same, other = "7m", "8m"
		}
		for text, want := range map[string]int{same: exitOK, other: exitUsage} {
			try := func(how string, args ...string) {
				var stdout, stderr bytes.Buffer
				code := execute(t.Context(), append([]string{"prune", "--dry-run", "--dir", dir}, args...), nil, &stdout, &stderr)
				if named := strings.Contains(stderr.String(), s.Key+" 8"); code != want || named != (want == exitUsage) {
					t.Errorf("%s %s by %s: exit code %d, want %d: %s", s.Key, text, how, code, want, stderr.String())
				}
			}
			try("flag", "--"+s.Flag(), text)
			t.Setenv(s.Variable(), text)
			try("environment")
			t.Setenv(s.Variable(), "")
			if err := os.WriteFile(file, []byte(s.Key+": "+text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			try("file", "--config", file)
			t.Setenv(configVariable, file)
			try("file of the environment")
			t.Setenv(configVariable, "")
		}
	}
	if seen != 6 {
		t.Errorf("%d rules, want 6", seen)
	}
}

// trial is a command line that shows what becomes of a flag where a server answers.
type trial struct {
	line string
	code int
	// says is what is printed, on stdout or stderr, because of the flag.
	says string
}

// trials has one for each flag of each command that may go through a server, in the order of the names. DIR is the server's
// directory, and NEW one that there is not.
var trials = map[string]map[string]trial{
	"backup": {
		"adopt": {"--adopt", exitOK, "fruit +(backed up|carried forward)"},
		"label": {"--label mine", exitOK, ""},
	},
	"backups":      {},
	"backups show": {},
	"delete":       {},
	"diff": {
		"red":     {"bytes/1 bytes --red", exitOK, " the same"},
		"summary": {"fruit/1 empty --summary", exitOK, "^0 added, 0 changed, 5 removed, 0 the same"},
	},
	"events": {
		"after":  {"--after 9223372036854775807", exitOK, "^$"},
		"follow": {"--follow --since 2999-01-01", exitError, "interrupted"},
		"since":  {"--since 2999-01-01", exitOK, "^$"},
	},
	"export": {
		"backup": {"fruit --backup 1", exitOK, `^{"key":"apple".*\n.*\n.*\n.*\n{"key":"durian".*\n$`},
		"prefix": {"fruit --prefix b", exitOK, `^{"key":"banana","value":"yellow\\nlong"}\n$`},
		"red":    {"bytes --backup 1 --red", exitOK, ""},
	},
	"get": {
		"backup": {"fruit zest --backup 1", exitNotFound, "not found"},
		"red":    {"bytes text --backup 1 --red", exitOK, ""},
	},
	"health": {
		"acknowledge": {"--acknowledge all", exitOK, "there is no loss"},
		"note":        {"--acknowledge all --note mine", exitOK, "there is no loss"},
	},
	"import": {
		"format":    {"empty INPUT --format deb822 --key Package", exitOK, "2 rows"},
		"from-line": {"empty INPUT --format deb822 --key Package --from-line 3", exitOK, "1 row"},
		"key":       {"empty INPUT --format deb822 --key Section", exitError, `no field "section"`},
		"skip-bad":  {"empty INPUT --skip-bad", exitOK, "skipped|bad"},
	},
	"pin": {
		"reason": {"fruit/1 --reason mine", exitOK, "mine"},
		"remove": {"fruit/1 --remove", exitOK, ""},
	},
	"prune": {
		"dry-run":      {"--dry-run", exitOK, "would be freed"},
		"keep":         {"--keep 9", exitUsage, "its own rules, not by keep 9"},
		"keep-daily":   {"--keep-daily 9", exitUsage, "its own rules, not by keep_daily 9"},
		"keep-hourly":  {"--keep-hourly 9", exitUsage, "its own rules, not by keep_hourly 9"},
		"keep-monthly": {"--keep-monthly 9", exitUsage, "its own rules, not by keep_monthly 9"},
		"keep-weekly":  {"--keep-weekly 9", exitUsage, "its own rules, not by keep_weekly 9"},
		"keep-within":  {"--keep-within 9h", exitUsage, "its own rules, not by keep_within 9h"},
		"table":        {"--dry-run --table bytes", exitOK, "(?s)^TABLE[^\n]*\nbytes[^\n]*\nbytes[^\n]*\n2 kept"},
	},
	"put": {"file": {"empty k --file INPUT", exitOK, ""}},
	"restore": {
		"at":      {"fruit --dry-run --at 2001-01-01", exitNotFound, "its cut was at"},
		"backup":  {"fruit --dry-run --backup 1", exitOK, "backup 000001"},
		"dry-run": {"fruit --dry-run", exitOK, "nothing was changed"},
		"live":    {"fruit --dry-run --live", exitError, "there is nothing to restore from its own files"},
		"red":     {"bytes --dry-run --backup 1 --red", exitOK, "backup 000001"},
		"set":     {"--set 01J5Z6T1QZ4C6N1GB3W5Y8X2KD --dir DIR --backup-dir DIR/backups", exitUsage, "is not empty"},
		"thinned": {"--set 01J5Z6T1QZ4C6N1GB3W5Y8X2KD --thinned --dir DIR --backup-dir DIR/backups", exitUsage, "is not empty"},
		"undo":    {"fruit --dry-run --undo", exitNotFound, "undo"},
	},
	"scan": {
		"backup":  {"fruit --backup 1", exitOK, "^apple.*\n.*\n.*\n.*\ndurian.*\n$"},
		"end":     {"fruit --end b", exitOK, "^apple\tgreen\n$"},
		"limit":   {"fruit --limit 1", exitOK, "^apple\tgreen\n"},
		"prefix":  {"fruit --prefix a", exitOK, "^apple\tgreen\n$"},
		"red":     {"bytes --backup 1 --red", exitOK, ""},
		"reverse": {"fruit --limit 1 --reverse", exitOK, "^zest"},
		"start":   {"fruit --start durian", exitOK, "^durian[^\n]*\nzest\tnew\n$"},
	},
	"tables":        {},
	"tables close":  {},
	"tables create": {"create-empty": {"made --create-empty", exitOK, "made +open"}},
	"tables drop":   {"without-backup": {"made --without-backup", exitOK, "made"}},
	"tables open":   {},
	"tables retry":  {},
	"verify": {
		"all":    {"--all", exitPartial, "(?s)fruit.*fruit"},
		"newest": {"--newest", exitOK, "^TABLE[^\n]*\nbytes[^\n]*\nempty[^\n]*\nfruit[^\n]*\n$"},
		"rate":   {"fruit/1 --rate 1MiB", exitOK, "proven"},
		"set":    {"--set 01J5Z6T1QZ4C6N1GB3W5Y8X2KD", exitNotFound, "no set of run 01J5Z6T1QZ4C6N1GB3W5Y8X2KD"},
		"table":  {"--table empty", exitOK, "^TABLE[^\n]*\nempty[^\n]*\n$"},
	},
}

// TestEveryFlagThroughAServer: where a server answers, each flag of each command is carried out, or is an error that names why it cannot be.
// A flag or command that is new needs a trial here.
func TestEveryFlagThroughAServer(t *testing.T) {
	dir := servedFill(t, nil)
	input := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(input, []byte("Package: one\n\nPackage: two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	global := []string{"dir", "backup-dir", "config", "help", "json"} // TestBackupDirOfAServer, the scripts place_config and help
	try := func(name string, tr trial) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if strings.Contains(tr.line, "--follow") {
			cancel() // it would go on for ever
		}
		line := strings.NewReplacer("DIR", dir, "INPUT", input).Replace(name + " " + tr.line)
		if !strings.Contains(line, "--dir") {
			line += " --dir " + dir
		}
		var stdout, stderr bytes.Buffer
		code := execute(ctx, strings.Fields(line), strings.NewReader(""), &stdout, &stderr)
		if code != tr.code || !regexp.MustCompile(tr.says).MatchString(stdout.String()+stderr.String()) {
			t.Errorf("%s\nexit code %d, want %d; want %q in:\n%s%s", line, code, tr.code, tr.says, stdout.String(), stderr.String())
		}
	}
	var commands []string
	each(newRoot(newOutput(new(bytes.Buffer))), func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "gabion ")
		if cmd.Flags().Lookup("backup-dir") == nil || name == "serve" || name == "config show" {
			return
		}
		commands = append(commands, name)
		tried, known := trials[name]
		if !known {
			t.Errorf("%s may go through a server, and has no trials", name)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, ok := tried[f.Name]; !ok && !slices.Contains(global, f.Name) {
				t.Errorf("%s has --%s, and no trial", name, f.Name)
			}
		})
		for _, flag := range slices.Sorted(maps.Keys(tried)) {
			if cmd.Flags().Lookup(flag) == nil || !strings.Contains(tried[flag].line, "--"+flag) {
				t.Errorf("%s: the trial of --%s is not one of it", name, flag)
			}
		}
	})
	slices.Sort(commands)
	if want := slices.Sorted(maps.Keys(trials)); !slices.Equal(commands, want) {
		t.Errorf("commands %v, and trials of %v", commands, want)
	}
	try("put", trial{"fruit zest new", exitOK, ""})
	// No block of an sstable: whether the table's record is in it depends on compactions.
	scribble(t, filepath.Join(dir, "backups/bytes/000001_*/db/OPTIONS-*"))
	try("verify", trial{"bytes/1", exitPartial, "red"})
	for _, name := range commands {
		for _, flag := range slices.Sorted(maps.Keys(trials[name])) {
			tr := trials[name][flag]
			try(name, tr)
			if flag == "red" {
				try(name, trial{strings.Replace(tr.line, " --red", "", 1), exitError, "is red"})
			}
		}
	}
	// What is kept and not printed at once.
	try("backups", trial{"", exitOK, "mine"})
	try("get", trial{"empty k", exitOK, "^Package: one"})
}

// scribble damages the first file that a pattern finds.
func scribble(t *testing.T, pattern string) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s finds %v, %v", pattern, found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	data[20] ^= 1
	if err := os.WriteFile(found[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}
