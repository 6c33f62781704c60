package actors

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.opentelemetry.io/otel/trace"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/internal/disk"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// Config configures Start. Dir is required; every other field's zero value is its default.
type Config struct {
	// Name is the supervisor's name in the actor system. Empty means "gabion". Two Gabions in one
	// system need two names and two directories.
	Name string
	// Dir holds the tables. It is made if its parent exists; a directory that holds something else is
	// refused, and one that another Gabion uses.
	Dir string
	// BackupDir holds the backups. Empty means Dir/backups. It may lie on another disk; it must not lie
	// inside a table, nor belong to another Gabion.
	BackupDir string
	// Tables names the tables to serve. A new name gets an empty table. See messages.CheckTableName.
	Tables []string
	// ServeFound serves, beside Tables, every table that Start finds in Dir. A dropped table is not found. Tables may be
	// empty then. Where it is, and nothing is found, Start fails with an error that matches messages.ErrInvalid.
	ServeFound bool
	// AtCut names the tables at_cut, of those in Tables or made later, for heavy writers: their writes do not read what
	// they replace, each backup counts the rows, and between backups count and live bytes are estimates. All
	// others are exact. A table may change either way with a start; one that becomes exact is
	// counted in the background first.
	AtCut []string
	// CreateEmpty lets a table whose backups exist, but which is missing from Dir, be made empty.
	// Without it such a table is quarantined: an unmounted disk must not look like an empty table.
	CreateEmpty bool
	// ReadOnly serves reads alone and writes nothing in either directory. No backup is
	// scheduled. Without Tables it serves every table that Dir or the backups know; one that neither
	// knows is an error that matches messages.ErrNotFound.
	ReadOnly bool

	// Visit is for a program that opens a directory which another one serves at other times, and whose configuration it
	// does not know: each table keeps the accounting of its record, whatever AtCut says, runs remove no backup, and Tables
	// may be empty. Without Keep the rules of retention are not known either, and PruneBackups is refused.
	Visit bool

	// Interval is the time between the starts of two runs of all tables, also across restarts. Zero means
	// 24 h, or Cron where that is set; the minimum is 1 s.
	Interval time.Duration
	// Cron says when scheduled runs start, in place of Interval: minute, hour, day of month, month and day of
	// week, in UTC. "30 2 * * *" is every day at 02:30. Empty means every Interval.
	Cron string
	// DisableSchedule leaves every run to a BackupAll.
	DisableSchedule bool
	// Keep is how many complete backups of each table retention leaves. Zero means 3. What a rule below keeps stays
	// beside them; see backup.Policy for what each means when clocks jump and backups are missing.
	Keep int
	// KeepHourly, KeepDaily, KeepWeekly and KeepMonthly are of how many UTC hours, days, ISO weeks and months the newest
	// backup stays. Zero keeps none.
	KeepHourly, KeepDaily, KeepWeekly, KeepMonthly int
	// KeepWithin keeps every backup that is no older than the newest by more than this, up to backup.MaxKeepWithin. Zero
	// keeps none.
	KeepWithin time.Duration

	// DisableDrill leaves proofs of backups to VerifyBackup. Without it every backup is proven once it is there, and again
	// when its proof is DrillEvery old; the live table's blocks are read after its newest backup.
	DisableDrill bool
	// DrillEvery is how old a proof becomes before the backup is proven again. Zero means 7 days; the minimum is 1 min.
	DrillEvery time.Duration
	// DrillBytes is how many bytes a second the drill reads at most. Zero means 32 MiB; the minimum is 1 MiB.
	DrillBytes int64
	// SelfHeal restores a table whose loss or damage is certain, from the verified candidate with the highest position: a
	// backup, or the table's own files where they are sound but short of what was acknowledged. What is lost is in the
	// event TableRestored. A table is healed once within 24 hours. Without it such a table waits for RestoreTable.
	SelfHeal bool

	// Schemas are the versions of the tables' rows that the program understands, by table. See Schema.
	Schemas map[string]Schema
	// UndoLife is how long the data of a table that was dropped, or restored, is kept; of one that healed itself 24 hours at
	// least. Zero means 7 days.
	UndoLife time.Duration

	// DirMode is the mode of the directories that are made; files get the same without the bits to execute. It lets a group, or
	// everybody, read or write what only the owner could: 0750 gives files 0640. The owner's bits must be set. Zero means
	// 0700, or what a directory was made with: where the gabion.json of Dir or BackupDir lets its group read or write, so does
	// what is made there. With FS it is FS that gives modes, and Windows knows none.
	DirMode fs.FileMode
	// FS is the file system of both directories. Nil means the operating system's.
	FS vfs.FS
	// Logger receives structured logs. Nil means no logs.
	Logger *slog.Logger
	// TracerProvider makes the tracer whose spans tell of runs and, in them, of each cut and publish, and of verifies and
	// restores: "gabion.run", "gabion.cut", "gabion.publish", "gabion.verify" and "gabion.restore". Nil means no spans. A
	// trace that the context of Verify, VerifyEach or RestoreFollowed carries is continued.
	TracerProvider trace.TracerProvider
	// Answering, unless nil, is called once by Start, when g answers and before Start waits for the tables: requests learn the
	// state of each meanwhile. Start stops g after an error, and returns the error. It is where a host opens its listeners.
	Answering func(g *Gabion) error
	// Concerns, unless nil, is asked by each health report for what else the host knows to be wrong, in words: each makes
	// health yellow. It must not wait.
	Concerns func() []string
	// Spawn spawns the supervisor. Nil means under the system's root; a host that wants it under an
	// actor of its own passes that actor's SpawnNamed. It must use the props and the name given.
	Spawn func(props *actor.Props, name string) (*actor.PID, error)
	// Middleware runs around every message that owners and the coordinator receive, as the host's tracing
	// does. A panic in it counts as one of the actor. With any, the calls of a Table, but for a Get that nothing holds up,
	// are such messages too, and cost what these do: docs/performance.md has both.
	Middleware []actor.ReceiverMiddleware

	// MaxPendingOps bounds the operations of one table that wait for their commit, and the reads that
	// wait for a reader. Past it the answer is RESOURCE_EXHAUSTED. Zero means 65,536.
	MaxPendingOps int
	// MaxPendingBytes bounds the keys and values of those operations. A single Write is accepted whatever its
	// size when nothing else waits. Zero means 64 MiB.
	MaxPendingBytes int64
	// Readers is how many reads of one table run at once. Zero means 16.
	Readers int
	// ConcurrentBackups is how many tables a run captures and copies at once. Zero means 4.
	ConcurrentBackups int
	// CutTimeout is how long one table may take to answer a run's cut. Zero means 30 s.
	CutTimeout time.Duration
	// CopyTimeout is how long the copy of one table's files may go without progress. Zero means 30 s.
	CopyTimeout time.Duration
	// FreezeAfter is how long a table's sstables may fail to be written, as on a full disk, before its store is closed
	// and opened again. A failed write of its WAL or MANIFEST does so at once. Zero means 30 s.
	FreezeAfter time.Duration
	// StallAfter is how long a table's disk may leave a write or a read without an answer before the table is stalled: what
	// waits is answered UNAVAILABLE, writes are refused at once, and the table goes on by itself when the disk does. Zero
	// means 10 s.
	StallAfter time.Duration
	// MinFreeBytes is how much of the disk of Dir must stay free: below, writes are refused and the tables are full, until
	// there is room again; and a backup that would leave less on the disk of BackupDir is not begun. Zero means 256 MiB, or
	// a sixteenth of the disk where that is less.
	MinFreeBytes uint64
	// CacheBytes is the size of the block cache that all tables share. Zero means 64 MiB.
	CacheBytes int64
	// MemTableBytes is the size of one table's memtable. Zero means 4 MiB; the minimum is 4 KiB, the maximum
	// 1 GiB. A group holds up to a quarter.
	MemTableBytes uint64
}

const (
	defaultName     = "gabion"
	defaultInterval = 24 * time.Hour
	minInterval     = time.Second
	minDrill        = time.Minute
	minDrillBytes   = 1 << 20
	minMemTable     = 4 << 10
	maxMemTable     = 1 << 30 // Pebble takes less than 4 GiB
	// groupShare is the part of a memtable that one group may fill: more, and Pebble gives the batch a
	// memtable of its own.
	groupShare = 4
)

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, defaultName)
	if c.Cron == "" {
		c.Interval = cmp.Or(c.Interval, defaultInterval)
	}
	if !c.Visit {
		c.Keep = cmp.Or(c.Keep, 3)
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.FS == nil {
		c.FS = disk.OS(c.DirMode)
	}
	if c.BackupDir == "" && c.Dir != "" {
		c.BackupDir = c.FS.PathJoin(c.Dir, store.BackupsDir)
	}
	c.MaxPendingOps = cmp.Or(c.MaxPendingOps, 65_536)
	c.MaxPendingBytes = cmp.Or(c.MaxPendingBytes, 64<<20)
	c.Readers = cmp.Or(c.Readers, 16)
	c.ConcurrentBackups = cmp.Or(c.ConcurrentBackups, 4)
	c.CutTimeout = cmp.Or(c.CutTimeout, 30*time.Second)
	c.CopyTimeout = cmp.Or(c.CopyTimeout, 30*time.Second)
	c.DrillEvery = cmp.Or(c.DrillEvery, 7*24*time.Hour)
	c.DrillBytes = cmp.Or(c.DrillBytes, 32<<20)
	c.UndoLife = cmp.Or(c.UndoLife, 7*24*time.Hour)
	c.FreezeAfter = cmp.Or(c.FreezeAfter, 30*time.Second)
	c.StallAfter = cmp.Or(c.StallAfter, 10*time.Second)
	c.MemTableBytes = cmp.Or(c.MemTableBytes, 4<<20)
	return c
}

// validate returns every fault of a configuration with defaults, and changes nothing.
func (c Config) validate(system *actor.ActorSystem) error {
	var faults []error
	fault := func(hint, format string, args ...any) {
		faults = append(faults, messages.WithHint(fmt.Errorf(format+": %w", append(args, messages.ErrInvalid)...), hint))
	}
	if m := c.DirMode; m != 0 && (m&^fs.ModePerm != 0 || m&disk.DefaultDirMode != disk.DefaultDirMode) {
		fault("leave dir mode zero for 0700, or let a group read with 0750", "dir mode is %04o, it must be 0700 and more of 0777", uint32(m))
	}
	if system == nil {
		fault("pass actor.NewActorSystem()", "actor system is nil")
	}
	if strings.ContainsAny(c.Name, "/ ") {
		fault("use a name without slashes and spaces", "name is %q", c.Name)
	}
	if len(c.Tables) == 0 && !c.ReadOnly && !c.Visit && !c.ServeFound {
		fault("name at least one table", "no tables are named")
	}
	for i, table := range c.Tables {
		if err := messages.CheckTableName(table); err != nil {
			faults = append(faults, err)
		} else if slices.Contains(c.Tables[:i], table) {
			fault("name each table once", "table %q is named twice", table)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(c.Schemas)) {
		if err := messages.CheckTableName(table); err != nil {
			faults = append(faults, fmt.Errorf("schema: %w", err))
		} else if c.Schemas[table].Version == 0 {
			fault("versions begin at 1", "schema of table %q has version 0", table)
		}
	}
	for i, table := range c.AtCut {
		if err := messages.CheckTableName(table); err != nil {
			faults = append(faults, fmt.Errorf("at_cut: %w", err))
		} else if slices.Contains(c.AtCut[:i], table) {
			fault("name each table once", "table %q is named twice at_cut", table)
		}
	}
	if c.Cron != "" {
		if c.Interval != 0 {
			fault("set one of the two", "interval is %v and cron is %q", c.Interval, c.Cron)
		}
		if _, err := parseCron(c.Cron); err != nil {
			faults = append(faults, err)
		}
	} else if c.Interval < minInterval {
		fault("leave interval zero for 24h, or set DisableSchedule", "interval is %v, minimum is %v", c.Interval, minInterval)
	}
	for _, bound := range []struct {
		name  string
		value int64
	}{
		{"max pending ops", int64(c.MaxPendingOps)},
		{"max pending bytes", c.MaxPendingBytes},
		{"readers", int64(c.Readers)},
		{"concurrent backups", int64(c.ConcurrentBackups)},
		{"cut timeout", int64(c.CutTimeout)},
		{"copy timeout", int64(c.CopyTimeout)},
		{"freeze after", int64(c.FreezeAfter)},
		{"stall after", int64(c.StallAfter)},
		{"undo life", int64(c.UndoLife)},
		{"cache bytes", c.CacheBytes + 1},
	} {
		if bound.value < 1 {
			fault("leave "+bound.name+" zero for its default", "%s is negative", bound.name)
		}
	}
	if c.DrillEvery < minDrill {
		fault("leave drill every zero for 7 days, or set DisableDrill", "drill every is %v, minimum is %v", c.DrillEvery, minDrill)
	}
	if c.DrillBytes < minDrillBytes {
		fault("leave drill bytes zero for 32 MiB a second", "drill bytes is %d, minimum is %d", c.DrillBytes, minDrillBytes)
	}
	if !c.Visit || c.knowsRules() {
		if err := c.policy().Check(); err != nil {
			faults = append(faults, err)
		}
	}
	if c.MemTableBytes < minMemTable || c.MemTableBytes > maxMemTable {
		fault("leave memtable bytes zero for 4 MiB", "memtable bytes is %d, minimum is %d, maximum is %d",
			c.MemTableBytes, minMemTable, maxMemTable)
	}
	faults = append(faults, c.checkDirectories()...)
	return errors.Join(faults...)
}

// checkDirectories finds what reading shows to be wrong with the directories.
func (c Config) checkDirectories() []error {
	var faults []error
	dir, err := store.RealPath(c.FS, c.Dir)
	if err != nil {
		return []error{err}
	}
	if c.Dir == "" {
		dir = ""
	}
	if err := store.CheckDirectory(c.FS, dir, c.ReadOnly); err != nil {
		faults = append(faults, err)
	}
	if dir == "" {
		return faults
	}
	// Reads a disk that may hang; what it tells later is told by the depot.
	found, err := within(newestTimeout, func() ([]error, error) { return c.checkBackups(dir, len(faults) > 0), nil })
	if err != nil && !c.exists(dir) {
		found = []error{fmt.Errorf("backup directory %s: %w", c.BackupDir, err)}
	}
	return append(faults, found...)
}

// checkBackups finds a backup directory that is a mistake, before DIR is made. A backup directory that merely cannot be
// used is no fault where DIR is there: its tables are served. With pathsOnly nothing is looked for that needs both
// directories.
func (c Config) checkBackups(dir string, pathsOnly bool) []error {
	backups, err := c.backupsPath(dir)
	if err != nil {
		return []error{err}
	}
	if pathsOnly {
		return nil
	}
	if !c.exists(dir) {
		if err := c.checkNewBackups(dir, backups); err != nil {
			return []error{err}
		}
	}
	return c.checkStore(dir, backups)
}

// checkNewBackups finds a backup directory that cannot be opened, before DIR is made.
func (c Config) checkNewBackups(dir, backups string) error {
	exists, err := store.Exists(c.FS, backups)
	if err != nil {
		return err
	}
	if !exists && c.ReadOnly {
		return nil // what lies in DIR can still be read
	}
	if exists, err = store.Exists(c.FS, dir); err != nil {
		return err
	}
	if !exists && c.FS.PathDir(backups) == dir {
		return nil // made with DIR
	}
	if err := store.CheckDirectory(c.FS, backups, false); err != nil {
		return fmt.Errorf("backup directory: %w", err)
	}
	return nil
}

// checkStore finds a backup directory that belongs to another store.
func (c Config) checkStore(dir, backups string) []error {
	info, err := store.ReadInfo(c.FS, dir)
	if err != nil {
		return nil // an unreadable gabion.json is CheckDirectory's fault already
	}
	theirs, err := backup.StoreIDAt(c.FS, backups)
	if err != nil && info == nil {
		return []error{err}
	}
	if err != nil || theirs == "" || info.GetStoreId() == theirs {
		return nil
	}
	if info == nil && c.CreateEmpty {
		return nil // the new directory takes the backups' store id
	}
	if info == nil {
		return []error{messages.WithHint(
			fmt.Errorf("backup directory %s holds the backups of store %s, but directory %s is empty: %w",
				backups, theirs, dir, store.ErrForeign),
			"mount the directory, restore it from the backups, or start empty with --create-empty")}
	}
	return []error{messages.WithHint(
		fmt.Errorf("backup directory %s belongs to store %s, directory %s is store %s: %w",
			backups, theirs, dir, info.GetStoreId(), store.ErrForeign),
		"name the backup directory of this store, or an empty one")}
}

// takenOver returns the store id that a new DIR takes from the backups that are there, what they say of their last run, and
// whether DIR is still to be made.
func (c Config) takenOver() (id string, last *messages.LastRun, made bool, err error) {
	dir, err := store.RealPath(c.FS, c.Dir)
	if err != nil || c.exists(dir) {
		return "", nil, false, err
	}
	type found struct {
		id   string
		last *messages.LastRun
	}
	f, err := within(newestTimeout, func() (f found, err error) {
		path, err := store.RealPath(c.FS, c.BackupDir)
		if err != nil {
			return f, err
		}
		if f.id, err = backup.StoreIDAt(c.FS, path); err != nil || f.id == "" {
			return f, err
		}
		if f.last, err = backup.LastRunAt(c.FS, path); err != nil { // the runs say so, until somebody adopts the backups
			c.Logger.Warn("it cannot be told which run used the backups last", "backup_dir", path, "error", err)
		}
		return f, nil
	})
	return f.id, f.last, true, err
}
