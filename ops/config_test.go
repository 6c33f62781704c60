package ops

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// load is LoadConfig of a file with the given text.
func load(t *testing.T, text string, flags, env map[string]string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gabion.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(Sources{File: path, Flags: flags, Environment: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
}

// samples has a text for every setting that is not its default.
var samples = map[string]string{
	"name": "shop", "dir": "d", "backup_dir": "b", "tables": "x,y", "at_cut": "z", "create_empty": "true", "interval": "1m30s",
	"cron": "30 2 * * *", "disable_schedule": "true", "keep": "7", "keep_hourly": "24", "keep_daily": "8", "keep_weekly": "5",
	"keep_monthly": "12", "keep_within": "72h", "stop_timeout": "1h30m", "disable_socket": "true", "log.format": "json",
	"log.level": "debug", "limits.max_pending_ops": "10", "limits.max_pending_bytes": "3GiB", "limits.readers": "2",
	"limits.concurrent_backups": "9", "limits.cut_timeout": "2m", "limits.copy_timeout": "1.5s",
	"dir_mode": "0750", "undo_life": "1h", "limits.freeze_after": "1m", "limits.stall_after": "1m", "limits.min_free_bytes": "5MiB",
	"disable_drill": "true", "drill_every": "1h", "self_heal": "true", "limits.drill_bytes": "2MiB",
	"http": "127.0.0.1:7070", "http_admin_token_file": "a", "http_read_token_file": "r", "http_cert_file": "c", "http_key_file": "k",
	"http_plain": "true", "http_read_only": "true", "ready_backup_age": "50h", "ready_proof_age": "340h",
	"limits.cache_bytes": "1000B", "limits.memtable_bytes": "1MiB",
}

func yamlOf(s Setting, text string) string {
	section, name, ok := strings.Cut(s.Key, ".")
	if !ok {
		section, name = "", s.Key
	}
	line := fmt.Sprintf("%s: %s\n", name, text)
	if s.Kind == Names {
		line = fmt.Sprintf("%s: [%s]\n", name, text)
	}
	if section != "" {
		line = fmt.Sprintf("%s:\n  %s", section, line)
	}
	return line
}

// Every setting can be set in the file, in the environment and by a flag; each beats the one before.
func TestPrecedence(t *testing.T) {
	for _, s := range Settings() {
		t.Run(s.Key, func(t *testing.T) {
			want := samples[s.Key]
			if want == "" || want == s.Default {
				t.Fatalf("no sample for %s", s.Key)
			}
			file := yamlOf(s, want)
			other := want
			if s.Kind == Bool {
				other = "false"
			} else if s.Default != "" {
				other = s.Default
			}
			for _, test := range []struct {
				name       string
				file       string
				flag, env  string
				want, from string
			}{
				{"default", "", "", "", s.Default, "default"},
				{"file", file, "", "", want, "file "},
				{"environment", "", "", want, want, "environment " + s.Variable()},
				{"flag", "", want, "", want, "flag --" + s.Flag()},
				{"environment beats file", yamlOf(s, other), "", want, want, "environment "},
				{"flag beats file", yamlOf(s, other), want, "", want, "flag "},
				{"flag beats environment", "", want, other, want, "flag "},
				{"flag beats all", yamlOf(s, other), want, other, want, "flag "},
			} {
				flags, env := map[string]string{}, map[string]string{s.Variable(): test.env}
				if test.flag != "" {
					flags[s.Key] = test.flag
				}
				c, err := load(t, test.file, flags, env)
				if err != nil {
					t.Fatalf("%s: %v", test.name, err)
				}
				i := slices.IndexFunc(c.Values(), func(v Value) bool { return v.Key == s.Key })
				if got := c.Values()[i]; got.Text != test.want || !strings.HasPrefix(got.Source, test.from) {
					t.Errorf("%s: got %+v, want %q from %q", test.name, got, test.want, test.from)
				}
				if got := s.show(c); got != test.want {
					t.Errorf("%s: the field shows %q, want %q", test.name, got, test.want)
				}
			}
		})
	}
}

// A new field of actors.Config is a setting, or stands here.
func TestEveryFieldIsASetting(t *testing.T) {
	inCodeOnly := []string{
		"ReadOnly",   // a server that only reads would still write its socket
		"ServeFound", // gabion serve serves what lies in the directory, always
		"FS", "Logger", "Spawn", "Middleware", "Schemas", "Visit", "TracerProvider", "Answering", "Concerns",
	}
	c := &Config{}
	fields := map[any]bool{}
	for _, s := range Settings() {
		fields[s.field(c)] = true
	}
	v := reflect.ValueOf(&c.Gabion).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if set := fields[v.Field(i).Addr().Interface()]; set == slices.Contains(inCodeOnly, name) {
			t.Errorf("field %s of actors.Config: is a setting: %v, is for code only: %v", name, set, !set)
		}
	}
}

// The stronger source's schedule wins; one source that names two is at fault.
func TestIntervalAndCron(t *testing.T) {
	const interval, cron = "interval: 1h\n", "cron: 30 2 * * *\n"
	for _, test := range []struct {
		name, file string
		flags, env map[string]string
		interval   time.Duration
		cron       string
	}{
		{"flag cron beats file interval", interval, map[string]string{"cron": "0 1 * * *"}, nil, 0, "0 1 * * *"},
		{"environment interval beats file cron", cron, nil, map[string]string{"GABION_INTERVAL": "2h"}, 2 * time.Hour, ""},
		{"flag interval beats environment cron", "", map[string]string{"interval": "3h"},
			map[string]string{"GABION_CRON": "0 1 * * *"}, 3 * time.Hour, ""},
		{"cron alone leaves no interval", cron, nil, nil, 0, "30 2 * * *"},
	} {
		c, err := load(t, test.file, test.flags, test.env)
		if err != nil || c.Gabion.Interval != test.interval || c.Gabion.Cron != test.cron {
			t.Errorf("%s: got %+v, %v", test.name, c, err)
		}
		// Whoever shows the winner says what it beats.
		beats := slices.ContainsFunc(c.Values(), func(v Value) bool {
			return v.Key == "cron" && strings.HasPrefix(v.Beats, "interval, ") || v.Key == "interval" && strings.HasPrefix(v.Beats, "cron, ")
		})
		if alone := strings.Contains(test.name, "alone"); beats == alone {
			t.Errorf("%s: values are %+v", test.name, c.Values())
		}
	}
	if _, err := load(t, interval+cron, nil, nil); err == nil || !strings.Contains(err.Error(), ".yaml:2: interval and cron are both set") {
		t.Errorf("both in one file: %v", err)
	}
}

// Each fault of a file has its line, the line's text, and a hint.
func TestFileFaults(t *testing.T) {
	for _, test := range []struct{ name, file, want, hint string }{
		{"unknown key", "dir: d\nintervall: 5s\n", ":2: unknown key \"intervall\"\n2 | intervall: 5s", "did you mean interval?"},
		{"unknown key in a section", "limits:\n  reader: 5\n", ":2: unknown key \"limits.reader\"\n2 | reader: 5", "did you mean limits.readers?"},
		{"key outside its section", "readers: 5\n", `:1: unknown key "readers"`, "did you mean limits.readers?"},
		{"nothing alike", "frobnication: 5\n", `:1: unknown key "frobnication"`, "gabion config show lists the keys"},
		{"bad duration", "\n\ninterval: 5x\n", ":3: interval is \"5x\"\n3 | interval: 5x", "with its unit"},
		{"duration without unit", "interval: 5\n", `:1: interval is "5"`, "with its unit"},
		{"short duration", "interval: 5ms\n", ":1: interval is 5ms, minimum is 1s", "default, 24h"},
		{"bad size", "limits: {cache_bytes: 1MB}\n", `:1: limits.cache_bytes is "1MB"`, "KiB, MiB or GiB"},
		{"size out of range", "limits: {cache_bytes: 9999999999999GiB}\n", `:1: limits.cache_bytes is "9999999999999GiB"`, "KiB"},
		{"large memtable", "limits: {memtable_bytes: 2GiB}\n", ":1: limits.memtable_bytes is 2GiB, maximum is 1GiB", "default, 4MiB"},
		{"bad number", "keep: 3.5\n", `:1: keep is "3.5"`, "whole number"},
		{"small number", "keep: 0\n", ":1: keep is 0, minimum is 1", "default, 3"},
		{"large number", "keep: 9000000000\n", ":1: keep is 9000000000, maximum is", "default, 3"},
		{"negative rule", "keep_daily: -1\n", ":1: keep_daily is -1, minimum is 0", "default, 0"},
		{"bad rule", "keep_within: 7d\n", `:1: keep_within is "7d"`, "with its unit"},
		{"long rule", "keep_within: 500000h\n", ":1: keep_within is 500000h, maximum is 438000h", "default, 0s"},
		{"misspelt rule", "keep_dayly: 3\n", `:1: unknown key "keep_dayly"`, "did you mean keep_daily?"},
		{"bad bool", "create_empty: yes\n", `:1: create_empty is "yes"`, "write true or false"},
		{"bad choice", "log: {format: xml}\n", `:1: log.format is "xml"`, "write text or json"},
		{"bad cron", "cron: \"61 * * * *\"\n", `:1: cron is "61 * * * *"`, "day of month"},
		{"bad name", "name: a/b\n", `:1: name is "a/b"`, "without slashes"},
		{"bad table", "tables:\n- a\n- B\n", ":3: table name \"B\"", "lower-case letter"},
		{"table twice", "tables: [a,\n  b,\n  a]\n", ":3: tables names \"a\" twice", "once"},
		{"no list", "tables: a\n", ":1: tables is no list", "write tables: [a, b]"},
		{"no value", "dir:\nkeep: 3\n", ":1: dir has no value", "remove the line"},
		{"a list for a value", "dir: [a]\n", ":1: dir is no plain value", "plain text"},
		{"an alias", "dir: &x d\nbackup_dir: *x\n", ":1: dir is no plain value", "aliases"},
		{"a section that is none", "log: json\n", ":1: log is no mapping", "key: value"},
		{"no mapping", "- a\n", ":1: the file is no mapping", "key: value"},
		{"twice the same key", "keep: 3\nkeep: 4\n", `:2: mapping key "keep" already defined at [1:1]`, "YAML"},
		{"two documents", "keep: 3\n---\nkeep: 4\n", "a second document begins here", "one document"},
		{"a directive", "%YAML 1.2\n---\ndir: d\n", ":1: directives such as %YAML are not understood\n1 | %YAML 1.2", "remove the line"},
		{"no UTF-8", "keep: 3\ndir: a\xffb\n", ":2: not valid UTF-8", "save the file as UTF-8"},
		{"no UTF-8 in a comment", "keep: 3 # \xff\n", ":1: not valid UTF-8", "save the file as UTF-8"},
		{"UTF-16", "\xff\xfed\x00i\x00r\x00", ":1: not valid UTF-8", "save the file as UTF-8"},
		{"a zero byte", "keep: 3\ndir: a\x00b\n", `:2: control character '\x00'`, "plain text"},
		{"no YAML", "keep: 3\n\tdir: d\n", ":2: ", "YAML"},
	} {
		_, err := load(t, test.file, nil, nil)
		switch {
		case err == nil || !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		case !errors.Is(err, messages.ErrInvalid):
			t.Errorf("%s: %v does not match ErrInvalid", test.name, err)
		case !strings.Contains(strings.Join(messages.Hints(err), "\n"), test.hint):
			t.Errorf("%s: hints are %q, want %q", test.name, messages.Hints(err), test.hint)
		}
	}
}

// What editors of Windows put around the text is not part of it.
func TestByteOrderMark(t *testing.T) {
	c, err := load(t, "\ufeffdir: d\r\nkeep: 4\r\n", nil, nil)
	if err != nil || c.Gabion.Dir != "d" || c.Gabion.Keep != 4 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// A line of the file that a flag beats is at fault all the same, and all faults are told in the order of lines.
func TestAllFaultsAtOnce(t *testing.T) {
	_, err := load(t, "keep: 0\nreaders: 1\nlog: {level: loud}\ninterval: 1\n",
		map[string]string{"keep": "5", "limits.readers": "-1"}, map[string]string{"GABION_DISABLE_SCHEDULE": "on"})
	want := []string{
		"environment GABION_DISABLE_SCHEDULE: disable_schedule", "flag --limits-readers: limits.readers is -1",
		":1: keep is 0", ":2: unknown key", ":3: log.level", ":4: interval",
	}
	text := fmt.Sprint(err)
	for _, part := range want {
		_, rest, found := strings.Cut(text, part)
		if !found {
			t.Fatalf("%q is missing, or in the wrong place, in:\n%v", part, err)
		}
		text = rest
	}
}

// The bounds of the settings are those of actors.Config: a value at the minimum starts.
func TestBoundsStart(t *testing.T) {
	flags := map[string]string{"dir": filepath.Join(t.TempDir(), "d"), "tables": "a"}
	for _, s := range Settings() {
		if s.Min > 0 && s.Key != "limits.cut_timeout" && s.Key != "limits.copy_timeout" && s.Key != "undo_life" && s.Key != "limits.freeze_after" && s.Key != "limits.stall_after" {
			flags[s.Key] = s.format(s.Min)
		}
	}
	c, err := LoadConfig(Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The defaults are those of actors.Config: a server without limits is a Gabion with a zero Config, that serves what it finds.
func TestEmptyFile(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n"} {
		c, err := load(t, text, nil, nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := actors.Config{
			ServeFound: true,
			Name:       "gabion", Interval: 24 * time.Hour, Keep: 3, MaxPendingOps: 65_536, MaxPendingBytes: 64 << 20, Readers: 16,
			ConcurrentBackups: 4, CutTimeout: 30 * time.Second, CopyTimeout: 30 * time.Second, CacheBytes: 64 << 20,
			MemTableBytes: 4 << 20, UndoLife: 7 * 24 * time.Hour, DrillEvery: 7 * 24 * time.Hour, DrillBytes: 32 << 20, FreezeAfter: 30 * time.Second, StallAfter: 10 * time.Second,
		}
		if !reflect.DeepEqual(c.Gabion, want) {
			t.Errorf("%q: got %+v", text, c.Gabion)
		}
	}
}

// docs/config.md names every setting with its kind, variable, flag and default.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		standard := "none"
		if s.Default != "" {
			standard = "`" + s.Default + "`"
		}
		row := fmt.Sprintf("| `%s` | %s | %s |", s.Key, strings.ToLower(string(s.Kind)), standard)
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/config.md lacks %s", row)
		}
	}
}
