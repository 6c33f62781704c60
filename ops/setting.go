package ops

import (
	"strings"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// Kind says how a setting is written.
type Kind string

// The kinds of settings.
const (
	// Text is taken as it is.
	Text Kind = "TEXT"
	// Path is a path, relative to the working directory.
	Path Kind = "PATH"
	// Names is a list of table names: a sequence in the file, separated by commas elsewhere.
	Names Kind = "NAMES"
	// Bool is true or false.
	Bool Kind = "BOOL"
	// Number is a whole number.
	Number Kind = "NUMBER"
	// Duration is a number with its unit: 90s, 30m, 1h30m.
	Duration Kind = "DURATION"
	// Mode is the mode of a directory, in octal: 0750.
	Mode Kind = "MODE"
	// Size is a number of bytes, alone or with KiB, MiB or GiB.
	Size Kind = "SIZE"
)

// Setting is one thing that can be configured: in the file, in the environment, by a flag.
type Setting struct {
	// Key is its name in the file. What stands before a dot is a section.
	Key  string
	Kind Kind
	// Usage says what it does, in one line.
	Usage string
	// Default is its value when nothing sets it, as it would be written; empty for none.
	Default string
	// Min and Max bound a Number, a Duration in nanoseconds and a Size in bytes. A Max of zero is none.
	Min, Max int64

	// field points to where the value goes: a *string, *[]string, *bool, *int, *int64, *uint64,
	// *time.Duration or *fs.FileMode.
	field func(*Config) any
	// check returns what is wrong with one text, nil where anything goes.
	check func(text string) error
}

// Flag is the setting's flag, without dashes.
func (s Setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// Variable is the setting's environment variable.
func (s Setting) Variable() string {
	return "GABION_" + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// Settings returns every setting, in the order of the documentation.
func Settings() []Setting {
	return []Setting{
		{Key: "name", Kind: Text, Default: "gabion", Usage: "name of the supervisor, in logs",
			field: func(c *Config) any { return &c.Gabion.Name }, check: checkName},
		{Key: "dir", Kind: Path, Usage: "tables lie in `DIR`",
			field: func(c *Config) any { return &c.Gabion.Dir }},
		{Key: "backup_dir", Kind: Path, Usage: "backups lie in `DIR` (default backups in --dir)",
			field: func(c *Config) any { return &c.Gabion.BackupDir }},
		{Key: "dir_mode", Kind: Mode, Usage: "make directories with `MODE`, and files with the same but for execution (default 0700, or what --dir was made with)",
			field: func(c *Config) any { return &c.Gabion.DirMode }},
		{Key: "tables", Kind: Names, Usage: "serve the tables `A,B,...` beside those in --dir; a new one is made empty",
			field: func(c *Config) any { return &c.Gabion.Tables }, check: messages.CheckTableName},
		{Key: "at_cut", Kind: Names, Usage: "count the rows of the tables `A,B,...` at each backup alone",
			field: func(c *Config) any { return &c.Gabion.AtCut }, check: messages.CheckTableName},
		{Key: "create_empty", Kind: Bool, Default: "false", Usage: "make a table empty that has backups but is missing",
			field: func(c *Config) any { return &c.Gabion.CreateEmpty }},
		{Key: "interval", Kind: Duration, Default: "24h", Min: 1e9, Usage: "back up all tables every `DURATION`",
			field: func(c *Config) any { return &c.Gabion.Interval }},
		{Key: "cron", Kind: Text, Usage: "back up all tables at the times of `CRON`, in UTC, in place of --interval",
			field: func(c *Config) any { return &c.Gabion.Cron }, check: actors.CheckCron},
		{Key: "disable_schedule", Kind: Bool, Default: "false", Usage: "back up on request alone",
			field: func(c *Config) any { return &c.Gabion.DisableSchedule }},
		{Key: "keep", Kind: Number, Default: "3", Min: 1, Max: 1 << 31, Usage: "keep the newest `N` backups of each table",
			field: func(c *Config) any { return &c.Gabion.Keep }},
		{Key: "keep_hourly", Kind: Number, Default: "0", Max: 1 << 31, Usage: "keep the newest backup of `N` hours",
			field: func(c *Config) any { return &c.Gabion.KeepHourly }},
		{Key: "keep_daily", Kind: Number, Default: "0", Max: 1 << 31, Usage: "keep the newest backup of `N` days",
			field: func(c *Config) any { return &c.Gabion.KeepDaily }},
		{Key: "keep_weekly", Kind: Number, Default: "0", Max: 1 << 31, Usage: "keep the newest backup of `N` weeks",
			field: func(c *Config) any { return &c.Gabion.KeepWeekly }},
		{Key: "keep_monthly", Kind: Number, Default: "0", Max: 1 << 31, Usage: "keep the newest backup of `N` months",
			field: func(c *Config) any { return &c.Gabion.KeepMonthly }},
		{Key: "keep_within", Kind: Duration, Default: "0s", Max: int64(backup.MaxKeepWithin), Usage: "keep every backup within `DURATION` of the newest",
			field: func(c *Config) any { return &c.Gabion.KeepWithin }},
		{Key: "disable_drill", Kind: Bool, Default: "false", Usage: "prove backups on request alone",
			field: func(c *Config) any { return &c.Gabion.DisableDrill }},
		{Key: "drill_every", Kind: Duration, Default: "168h", Min: 60e9, Usage: "prove each backup anew when its proof is `DURATION` old",
			field: func(c *Config) any { return &c.Gabion.DrillEvery }},
		{Key: "self_heal", Kind: Bool, Default: "false", Usage: "restore a table that is damaged, or lost data, without being asked",
			field: func(c *Config) any { return &c.Gabion.SelfHeal }},
		{Key: "undo_life", Kind: Duration, Default: "168h", Min: 1, Usage: "keep the data of a dropped or restored table for `DURATION`",
			field: func(c *Config) any { return &c.Gabion.UndoLife }},
		{Key: "disable_socket", Kind: Bool, Default: "false", Usage: "do not open gabion.sock in --dir, for the other commands",
			field: func(c *Config) any { return &c.DisableSocket }},
		{Key: "http", Kind: Text, Usage: "answer HTTP, and show a dashboard, at `HOST:PORT`, as in 127.0.0.1:7070",
			field: func(c *Config) any { return &c.Web.Address }, check: checkHTTP},
		{Key: "http_admin_token_file", Kind: Path, Usage: "let those do everything over HTTP who have the token in `FILE`",
			field: func(c *Config) any { return &c.Web.AdminTokenFile }},
		{Key: "http_read_token_file", Kind: Path, Usage: "let those read over HTTP who have the token in `FILE`",
			field: func(c *Config) any { return &c.Web.ReadTokenFile }},
		{Key: "http_cert_file", Kind: Path, Usage: "speak TLS over HTTP with the certificate in `FILE`",
			field: func(c *Config) any { return &c.Web.CertFile }},
		{Key: "http_key_file", Kind: Path, Usage: "the key of that certificate is in `FILE`",
			field: func(c *Config) any { return &c.Web.KeyFile }},
		{Key: "http_plain", Kind: Bool, Default: "false", Usage: "answer others without TLS: a proxy in front speaks it",
			field: func(c *Config) any { return &c.Web.Plain }},
		{Key: "http_read_only", Kind: Bool, Default: "false", Usage: "change nothing over HTTP, whoever asks",
			field: func(c *Config) any { return &c.Web.ReadOnly }},
		{Key: "ready_backup_age", Kind: Duration, Default: "0s", Usage: "be ready over HTTP while each table's last backup is no older than `DURATION`; 0 is twice the interval",
			field: func(c *Config) any { return &c.Web.BackupAge }},
		{Key: "ready_proof_age", Kind: Duration, Default: "0s", Usage: "be ready over HTTP while each table's last proof is no older than `DURATION`; 0 is twice drill_every",
			field: func(c *Config) any { return &c.Web.ProofAge }},
		{Key: "stop_timeout", Kind: Duration, Default: "30s", Min: 1e6, Usage: "give a stop `DURATION` to drain",
			field: func(c *Config) any { return &c.StopTimeout }},
		{Key: "log.format", Kind: Text, Default: LogText, Usage: "log as `text|json`, to stderr",
			field: func(c *Config) any { return &c.LogFormat }, check: oneOf("log.format", LogText, LogJSON)},
		{Key: "log.level", Kind: Text, Default: "info", Usage: "log from `debug|info|warn|error` on",
			field: func(c *Config) any { return &c.LogLevel }, check: oneOf("log.level", "debug", "info", "warn", "error")},
		{Key: "limits.max_pending_ops", Kind: Number, Default: "65536", Min: 1, Max: 1 << 31, Usage: "let `N` operations of a table wait",
			field: func(c *Config) any { return &c.Gabion.MaxPendingOps }},
		{Key: "limits.max_pending_bytes", Kind: Size, Default: "64MiB", Min: 1, Usage: "let `SIZE` of keys and values of a table wait",
			field: func(c *Config) any { return &c.Gabion.MaxPendingBytes }},
		{Key: "limits.readers", Kind: Number, Default: "16", Min: 1, Max: 1 << 20, Usage: "run `N` reads of a table at once",
			field: func(c *Config) any { return &c.Gabion.Readers }},
		{Key: "limits.concurrent_backups", Kind: Number, Default: "4", Min: 1, Max: 1 << 20, Usage: "back up `N` tables at once",
			field: func(c *Config) any { return &c.Gabion.ConcurrentBackups }},
		{Key: "limits.cut_timeout", Kind: Duration, Default: "30s", Min: 1, Usage: "give a table `DURATION` to answer a run's cut",
			field: func(c *Config) any { return &c.Gabion.CutTimeout }},
		{Key: "limits.copy_timeout", Kind: Duration, Default: "30s", Min: 1, Usage: "give a copy `DURATION` without progress",
			field: func(c *Config) any { return &c.Gabion.CopyTimeout }},
		{Key: "limits.freeze_after", Kind: Duration, Default: "30s", Min: 1, Usage: "close a store whose sstables fail for `DURATION`, and open it again",
			field: func(c *Config) any { return &c.Gabion.FreezeAfter }},
		{Key: "limits.stall_after", Kind: Duration, Default: "10s", Min: 1, Usage: "refuse a table's writes when its disk has not answered for `DURATION`",
			field: func(c *Config) any { return &c.Gabion.StallAfter }},
		{Key: "limits.min_free_bytes", Kind: Size, Default: "0B", Usage: "refuse writes and backups when less than `SIZE` of a disk would stay free; 0 is 256MiB, or a sixteenth of the disk",
			field: func(c *Config) any { return &c.Gabion.MinFreeBytes }},
		{Key: "limits.drill_bytes", Kind: Size, Default: "32MiB", Min: 1 << 20, Usage: "let the drill read up to `SIZE` a second",
			field: func(c *Config) any { return &c.Gabion.DrillBytes }},
		{Key: "limits.cache_bytes", Kind: Size, Default: "64MiB", Min: 1, Usage: "share a block cache of `SIZE` among all tables",
			field: func(c *Config) any { return &c.Gabion.CacheBytes }},
		{Key: "limits.memtable_bytes", Kind: Size, Default: "4MiB", Min: 4 << 10, Max: 1 << 30, Usage: "give each table a memtable of `SIZE`",
			field: func(c *Config) any { return &c.Gabion.MemTableBytes }},
	}
}
