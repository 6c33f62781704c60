package test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// The promises of the sweeps of restores.
const (
	rewinding = "restoring"
	rewound   = "restored"
	wrote     = "restored, and written since"
	undone    = "undone"
)

// restoreSweep is a sweep in which outbox has more rows, and other ones, than its backup.
type restoreSweep struct {
	*sweep
	old, was map[string]string // of outbox: the rows that serve, and those of the backup
}

func newRestoreSweep(t *testing.T) *restoreSweep {
	s := &restoreSweep{sweep: newSweep(t)}
	s.write(30)
	s.was = s.read(s.g, "outbox")
	s.backUp()
	for _, key := range []string{"k0003", "late"} {
		if _, err := s.g.Table("outbox").Put(context.Background(), []byte(key), []byte("later")); err != nil {
			t.Fatal(err)
		}
	}
	s.old = s.read(s.g, "outbox")
	return s
}

func (s *restoreSweep) read(g *actors.Gabion, table string) map[string]string {
	s.t.Helper()
	rows := map[string]string{}
	if err := g.Table(table).Walk(context.Background(), nil, func(key, value []byte) error {
		rows[string(key)] = string(value)
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return rows
}

func (s *restoreSweep) mark(promise string) { s.sweep.promise.Store(&promise) }

func (s *restoreSweep) restore(m *messages.RestoreTable) {
	s.t.Helper()
	if _, err := s.g.Restore(context.Background(), m); err != nil {
		s.t.Fatal(err)
	}
}

// TestCrashSweepOfRestoreAndUndo: a power loss after any file operation of the restore of a table that serves leaves all of its old
// rows, or all of the backup's; what it acknowledged since; and in the undo all of one or the other.
func TestCrashSweepOfRestoreAndUndo(t *testing.T) {
	s := newRestoreSweep(t)
	more := maps.Clone(s.was)
	more["since"] = "v"
	s.mark(rewinding)
	s.record(func() {
		s.restore(&messages.RestoreTable{Table: "outbox"})
		s.mark(rewound)
		if _, err := s.g.Table("outbox").Put(context.Background(), []byte("since"), []byte("v")); err != nil {
			t.Fatal(err)
		}
		s.mark(wrote)
		s.restore(&messages.RestoreTable{Table: "outbox", Undo: true})
		s.mark(undone)
	})
	found := s.checkAll(map[string][]map[string]string{
		rewinding: {s.old, s.was, more}, rewound: {s.was, more}, wrote: {more, s.old}, undone: {s.old},
	})
	for _, promise := range []string{rewinding, wrote} {
		if found[promise][0] == 0 || found[promise][1] == 0 {
			t.Errorf("no crash fell on one side of the flip: %v", found)
		}
	}
}

// TestCrashSweepOfHealing: the same of a table that heals itself, whose old rows nobody can serve.
func TestCrashSweepOfHealing(t *testing.T) {
	s := newRestoreSweep(t)
	if err := s.g.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := store.WriteDurably(s.fs, "/g/tables/outbox/current", []byte("?")); err != nil {
		t.Fatal(err)
	}
	s.heal = true
	healed := make(chan struct{})
	s.mark(rewinding)
	s.record(func() {
		g, system, err := s.start(s.fs)
		if err != nil {
			t.Fatal(err)
		}
		defer system.Shutdown()
		defer g.Subscribe(func(e proto.Message) {
			if r, ok := e.(*messages.TableRestored); ok && r.GetHealed() {
				close(healed)
			}
		})()
		<-healed
		s.mark(rewound)
		if err := g.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
	s.checkAll(map[string][]map[string]string{rewinding: {s.was}, rewound: {s.was}})
}

// checkAll starts on each disk that the sweep left, wants one of the states that its promise allows, and counts them.
func (s *restoreSweep) checkAll(allowed map[string][]map[string]string) map[string]map[int]int {
	clones, found := distinct(s.t, s.clones), map[string]map[int]int{}
	for _, c := range clones {
		got := s.checkRewound(c)
		state := slices.IndexFunc(allowed[c.promise], func(want map[string]string) bool { return maps.Equal(want, got) })
		if state < 0 {
			s.t.Fatalf("%s, after %s: %d rows, which are none of %d states", c.promise, c.after, len(got), len(allowed[c.promise]))
		}
		if found[c.promise] == nil {
			found[c.promise] = map[int]int{}
		}
		found[c.promise][state]++
	}
	s.t.Logf("%d file operations leave %d disks: %v", len(s.clones), len(clones), found)
	if len(clones) < 20 {
		s.t.Errorf("%d file operations were seen: the hook is not called", len(clones))
	}
	return found
}

// checkRewound starts on what a crash left, twice, and returns the rows of outbox.
func (s *restoreSweep) checkRewound(c sweepClone) map[string]string {
	at := c.promise + ", after " + c.after
	ctx := context.Background()
	var first map[string]string
	for range 2 {
		g, system, err := s.start(c.fs)
		if err != nil {
			s.t.Fatalf("%s: %v", at, err)
		}
		s.await(g, at)
		if rows, _ := s.count(g, "inbox"); rows != s.rows {
			s.t.Errorf("%s: the other table has %d rows, want %d", at, rows, s.rows)
		}
		rows := s.read(g, "outbox")
		if first == nil {
			first = rows
		} else if !maps.Equal(first, rows) {
			s.t.Errorf("%s: a second start serves %d rows, the first %d", at, len(rows), len(first))
		}
		if _, err := g.Table("outbox").Put(ctx, []byte("k0000"), []byte(rows["k0000"])); err != nil {
			s.t.Errorf("%s: put: %v", at, err)
		}
		if report, err := g.BackupAll(ctx); err != nil || len(report.GetFaults()) > 0 || len(report.GetSet().GetResults()) != 2 {
			s.t.Errorf("%s: next backup: %v, %v", at, report, err)
		}
		if err := g.Stop(ctx); err != nil {
			s.t.Errorf("%s: stop: %v", at, err)
		}
		system.Shutdown()
	}
	s.checkLeftovers(c.fs, at)
	checkBackups(s.t, c, "outbox")
	return first
}

// await waits until outbox serves: a table that heals itself does not at once.
func (s *restoreSweep) await(g *actors.Gabion, at string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	changed := make(chan struct{}, 1)
	defer g.Subscribe(func(proto.Message) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for {
		_, err := g.Table("outbox").Get(ctx, []byte("k0000"))
		if err == nil {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.t.Fatalf("%s: %v", at, err)
		}
	}
}

// checkLeftovers wants each lineage on disk to serve, or to be undo that ended well.
func (s *restoreSweep) checkLeftovers(fs vfs.FS, at string) {
	names, err := fs.List("/g/tables/outbox")
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := store.ReadFile(fs, "/g/tables/outbox/current")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		info, err := fs.Stat("/g/tables/outbox/" + name)
		if err != nil {
			s.t.Fatal(err)
		}
		switch serves := name == strings.TrimSpace(string(data)); {
		case strings.HasPrefix(name, ".pending-"):
			s.t.Errorf("%s: not swept: %q", at, names)
		case info.IsDir() && serves == slices.Contains(names, name+".undo"):
			s.t.Errorf("%s: lineage %s serves: %v; there is %q", at, name, serves, names)
		}
	}
}
