package actors_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// refused wants that Start fails with every part in its text, hints at what to do, and changes no file.
func refused(t *testing.T, root vfs.FS, config actors.Config, parts ...string) error {
	t.Helper()
	return refusedBeside(t, root, []string{"/"}, config, parts...)
}

// refusedBeside is refused beside a running Gabion: no file under some roots changes.
func refusedBeside(t *testing.T, root vfs.FS, roots []string, config actors.Config, parts ...string) error {
	t.Helper()
	look := func() (paths []string) {
		for _, path := range roots {
			paths = append(paths, tree(t, root, path)...)
		}
		return paths
	}
	before := look()
	if config.FS == nil {
		config.FS = root
	}
	g, err := actors.Start(t.Context(), newSystem(t), config)
	if err == nil {
		t.Errorf("start succeeded, want an error that says %q", parts)
		_ = g.Stop(t.Context())
		return nil
	}
	wantText(t, err.Error(), parts...)
	if len(messages.Hints(err)) == 0 {
		t.Errorf("start = %v, without a hint", err)
	}
	if after := look(); !slices.Equal(before, after) {
		t.Errorf("start = %v, and the disk changed from\n%s\nto\n%s", err, strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	return err
}

// TestEveryFaultAtOnce: one error names all that is wrong with a configuration, each with a hint.
func TestEveryFaultAtOnce(t *testing.T) {
	err := refused(t, vfs.NewMem(), actors.Config{
		Name:              "a/b",
		Dir:               "/nowhere/data",
		BackupDir:         "/nowhere/data/tables/x",
		Tables:            []string{"Upper", "twice", "twice", "backup", "con", "", strings.Repeat("x", 64), "../up", "good"},
		AtCut:             []string{"Fast", "thrice", "thrice"},
		Interval:          time.Millisecond,
		Keep:              -1,
		KeepHourly:        -1,
		KeepDaily:         -1,
		KeepWeekly:        -1,
		KeepMonthly:       -1,
		KeepWithin:        -1,
		MaxPendingOps:     -1,
		MaxPendingBytes:   -1,
		Readers:           -1,
		ConcurrentBackups: -1,
		CutTimeout:        -1,
		CopyTimeout:       -1,
		CacheBytes:        -1,
	}, `"a/b"`, "/nowhere", "lies inside", `"Upper"`, `"twice" is named twice`, `"Fast"`, `"thrice" is named twice at_cut`, `"backup" is reserved`, `"con" is reserved`, `""`,
		`"../up"`, "interval is 1ms", "keep is -1, minimum is 1", "keep hourly is negative", "keep daily is negative", "keep weekly is negative",
		"keep monthly is negative", "keep within is negative", "max pending ops", "max pending bytes", "readers", "concurrent backups",
		"cut timeout", "copy timeout", "cache bytes")
	if !errors.Is(err, messages.ErrInvalid) {
		t.Errorf("start = %v, want ErrInvalid", err)
	}
	if strings.Contains(err.Error(), `"good"`) {
		t.Errorf("start = %v, and good is good", err)
	}
	if n := len(messages.Hints(err)); n < 10 {
		t.Errorf("%d hints: %q", n, messages.Hints(err))
	}
}

// TestFaultyConfig has one fault each.
func TestFaultyConfig(t *testing.T) {
	write := func(t *testing.T, fs vfs.FS, path, text string) {
		t.Helper()
		if err := fs.MkdirAll(fs.PathDir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write([]byte(text))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, fs vfs.FS)
		change  func(c *actors.Config)
		want    string
		is      error
	}{
		{"no dir", nil, func(c *actors.Config) { c.Dir = "" }, "directory is empty", messages.ErrInvalid},
		{"no tables", nil, func(c *actors.Config) { c.Tables = nil }, "no tables", messages.ErrInvalid},
		{"negative interval", nil, func(c *actors.Config) { c.Interval = -time.Hour }, "interval is -1h0m0s", messages.ErrInvalid},
		{"interval and cron", nil, func(c *actors.Config) { c.Interval, c.Cron = time.Hour, "30 2 * * *" }, `interval is 1h0m0s and cron is "30 2 * * *"`, messages.ErrInvalid},
		{"cron of six fields", nil, func(c *actors.Config) { c.Cron = "0 30 2 * * *" }, `cron is "0 30 2 * * *": 6 fields`, messages.ErrInvalid},
		{"cron by name", nil, func(c *actors.Config) { c.Cron = "@daily" }, `cron is "@daily": 1 fields`, messages.ErrInvalid},
		{"cron in a zone", nil, func(c *actors.Config) { c.Cron = "TZ=UTC 2 * * *" }, `cron is "TZ=UTC 2 * * *"`, messages.ErrInvalid},
		{"cron out of range", nil, func(c *actors.Config) { c.Cron = "61 * * * *" }, "end of range (61)", messages.ErrInvalid},
		{"cron without a schedule", nil, func(c *actors.Config) { c.Cron, c.DisableSchedule = "x * * * *", true }, `cron is "x * * * *"`, messages.ErrInvalid},
		{"cron that never comes", nil, func(c *actors.Config) { c.Cron = "0 0 30 2 *" }, "it never comes", messages.ErrInvalid},
		{"tiny memtable", nil, func(c *actors.Config) { c.MemTableBytes = 1 }, "memtable", messages.ErrInvalid},
		{"huge memtable", nil, func(c *actors.Config) { c.MemTableBytes = 1 << 40 }, "memtable", messages.ErrInvalid},
		{"missing parent", nil, func(c *actors.Config) { c.Dir = "/no/data" }, "parent", os.ErrNotExist},
		{"missing parent of the backups", nil, func(c *actors.Config) { c.BackupDir = "/no/backups" }, "parent", os.ErrNotExist},
		{"file as dir", func(t *testing.T, fs vfs.FS) { write(t, fs, "/data", "x") }, nil, "is a file", store.ErrForeign},
		{"file as backup dir", func(t *testing.T, fs vfs.FS) { write(t, fs, "/b", "x") },
			func(c *actors.Config) { c.BackupDir = "/b" }, "is a file", store.ErrForeign},
		{"foreign dir", func(t *testing.T, fs vfs.FS) { write(t, fs, "/data/photo.jpg", "x") }, nil, "photo.jpg", store.ErrForeign},
		{"foreign backup dir", func(t *testing.T, fs vfs.FS) { write(t, fs, "/b/photo.jpg", "x") },
			func(c *actors.Config) { c.BackupDir = "/b" }, "/b", store.ErrForeign},
		{"damaged gabion.json", func(t *testing.T, fs vfs.FS) { write(t, fs, "/data/gabion.json", "{") }, nil, "gabion.json", nil},
		{"newer gabion.json", func(t *testing.T, fs vfs.FS) {
			write(t, fs, "/data/gabion.json", `{"storeId":"x","formatVersion":99,"future":1}`)
		}, nil, "99", store.ErrNewer},
		{"newer backup dir", func(t *testing.T, fs vfs.FS) {
			write(t, fs, "/b/gabion.json", `{"storeId":"x","formatVersion":99}`)
		}, func(c *actors.Config) { c.BackupDir = "/b" }, "99", store.ErrNewer},
		{"backups in tables", nil, func(c *actors.Config) { c.BackupDir = "/data/tables" }, "lies inside", messages.ErrInvalid},
		{"backups in a table", nil, func(c *actors.Config) { c.BackupDir = "/data/tables/tasks/b" }, "lies inside", messages.ErrInvalid},
		{"backups in staging", nil, func(c *actors.Config) { c.BackupDir = "/data/staging" }, "lies inside", messages.ErrInvalid},
		{"backups are dir", nil, func(c *actors.Config) { c.BackupDir = "/data" }, "itself", messages.ErrInvalid},
		{"another store's backups", func(t *testing.T, fs vfs.FS) {
			write(t, fs, "/b/gabion.json", `{"storeId":"theirs","formatVersion":1}`)
		}, func(c *actors.Config) { c.BackupDir = "/b" }, "theirs", store.ErrForeign},
		{"nothing to read", nil, func(c *actors.Config) { c.ReadOnly = true }, "/data", messages.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			if c.prepare != nil {
				c.prepare(t, fs)
			}
			config := actors.Config{Dir: "/data", Tables: []string{"tasks"}}
			if c.change != nil {
				c.change(&config)
			}
			err := refused(t, fs, config, c.want)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("start = %v, want an error that matches %v", err, c.is)
			}
		})
	}
	t.Run("no actor system", func(t *testing.T) {
		_, err := actors.Start(t.Context(), nil, actors.Config{FS: vfs.NewMem(), Dir: "/data", Tables: []string{"tasks"}})
		if !errors.Is(err, messages.ErrInvalid) || len(messages.Hints(err)) == 0 {
			t.Errorf("start = %v", err)
		}
	})
}

// TestUnwritableDirectory: what cannot be written is said so, with a hint, and nothing stays held.
func TestUnwritableDirectory(t *testing.T) {
	for _, kind := range []string{"lock", "create", "mkdir", "sync", "rename"} {
		for _, where := range []string{"/data", "/b"} {
			t.Run(kind+where, func(t *testing.T) {
				h := prepare(t, actors.Config{BackupDir: "/b"})
				repair := h.fs.on(under(where, kind), func(o fileOp) error {
					if strings.HasPrefix(o.path, "/data/tables") {
						return nil // a table's fault is that table's
					}
					return fmt.Errorf("%s %s: %w", o.kind, o.path, fs.ErrPermission)
				})
				_, err := actors.Start(t.Context(), h.system, h.config)
				if !errors.Is(err, fs.ErrPermission) || len(messages.Hints(err)) == 0 {
					t.Fatalf("start = %v (hints %q), want a permission error with a hint", err, messages.Hints(err))
				}
				wantText(t, err.Error(), where)
				repair()
				h.start()
				h.put("tasks", "key", "value")
			})
		}
	}
}

// TestHeldDirectory: a directory in use, by this process or another, names who uses it.
func TestHeldDirectory(t *testing.T) {
	home := os.Getenv("GABION_TEST_HOLD")
	if home != "" { // the child
		g, err := actors.Start(t.Context(), newSystem(t), actors.Config{Dir: home, Tables: []string{"tasks"}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1))
		if err := g.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		return
	}
	home = filepath.Join(t.TempDir(), "data")
	config := actors.Config{Dir: home, Tables: []string{"tasks"}}
	try := func(config actors.Config, pid int) {
		t.Helper()
		g, err := actors.Start(t.Context(), newSystem(t), config)
		if !errors.Is(err, store.ErrHeld) || len(messages.Hints(err)) == 0 {
			t.Fatalf("start = %v, %v, want ErrHeld with a hint", g, err)
		}
		wantText(t, err.Error(), fmt.Sprintf("process %d", pid))
	}
	system := newSystem(t)
	g, err := actors.Start(t.Context(), system, config)
	if err != nil {
		t.Fatal(err)
	}
	try(config, os.Getpid())
	link := filepath.Join(filepath.Dir(home), "link")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	try(actors.Config{Dir: link, Tables: config.Tables}, os.Getpid())
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	child := exec.Command(os.Args[0], "-test.run=^TestHeldDirectory$", "-test.v")
	child.Env = append(os.Environ(), "GABION_TEST_HOLD="+home)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	text := ""
	for buf := make([]byte, 1024); !strings.Contains(text, "held"); {
		n, err := stdout.Read(buf)
		text += string(buf[:n])
		if err != nil {
			t.Fatalf("the child said %q: %v", text, err)
		}
	}
	try(config, child.Process.Pid)
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	if g, err = actors.Start(t.Context(), system, config); err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestTwoGabionsOnOneBackupDirectory: the second is refused, running or not, and changes nothing.
func TestTwoGabionsOnOneBackupDirectory(t *testing.T) {
	h := newHost(t, actors.Config{BackupDir: "/b"})
	h.put("tasks", "key", "value")
	h.backup()
	other := actors.Config{FS: h.fs.FS, Dir: "/other", BackupDir: "/b", Tables: []string{"tasks"}}
	for _, running := range []bool{true, false} {
		if err := refusedBeside(t, h.fs.FS, []string{"/b", "/other"}, other, "/b", "store"); !errors.Is(err, store.ErrForeign) {
			t.Errorf("start on the backups of a store (running: %v) = %v", running, err)
		}
		if running {
			h.stop()
		}
	}
	// A store of its own does not make it better.
	other.BackupDir = ""
	g, err := actors.Start(t.Context(), h.system, other)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.BackupDir = "/b"
	if err := refused(t, h.fs.FS, other, "/b", "store"); !errors.Is(err, store.ErrForeign) {
		t.Errorf("start = %v", err)
	}
	other.CreateEmpty = true
	if err := refused(t, h.fs.FS, other, "/b", "store"); !errors.Is(err, store.ErrForeign) {
		t.Errorf("start with CreateEmpty = %v", err)
	}
	h.start()
	if row := h.backup()["tasks"]; row.GetOutcome() != carried {
		t.Errorf("row = %v", row)
	}
}
