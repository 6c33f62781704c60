package test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// The promises of TestCrashSweepOfDropAndCreate, in their order.
const (
	dropping = "dropping"
	creating = "creating"
	made     = "created"
	written  = "written"
)

// TestCrashSweepOfDropAndCreate: a power loss after any file operation of a drop with its last backup leaves the table with every
// row, or dropped with its rows in a backup that has a pin, and in undo; one in the creation that follows leaves it
// dropped, or new.
func TestCrashSweepOfDropAndCreate(t *testing.T) {
	s := newSweep(t)
	ctx := context.Background()
	s.write(40)
	s.backUp()
	s.write(10)
	promise := func(p string) { s.promise.Store(&p) }
	promise(dropping)
	s.record(func() {
		if err := s.g.DropTable(ctx, "outbox"); err != nil {
			t.Fatal(err)
		}
		promise(creating)
		if err := s.g.CreateTable(ctx, "outbox", true); err != nil {
			t.Fatal(err)
		}
		promise(made)
		if _, err := s.g.Table("outbox").Put(ctx, []byte("new"), []byte("row")); err != nil {
			t.Fatal(err)
		}
		promise(written)
		s.backUp()
	})
	clones, found := distinct(t, s.clones), map[string]int{}
	for _, c := range clones {
		state := s.checkDropped(c)
		found[c.promise+": "+state]++
	}
	t.Logf("%d file operations leave %d disks: %v", len(s.clones), len(clones), found)
	for _, want := range []string{dropping + ": open", dropping + ": dropped", creating + ": dropped", written + ": new"} {
		if found[want] == 0 {
			t.Errorf("no crash left %q", want)
		}
	}
}

// checkDropped starts on what the crash left, and returns in which of its states the table is.
func (s *sweep) checkDropped(c sweepClone) (state string) {
	ctx := context.Background()
	at := c.promise + ", after " + c.after
	g, system, err := s.start(c.fs)
	if err != nil {
		s.t.Fatalf("%s: %v", at, err)
	}
	defer system.Shutdown()
	defer func() {
		if err := g.Stop(ctx); err != nil {
			s.t.Errorf("%s: stop: %v", at, err)
		}
	}()
	if rows, _ := s.count(g, "inbox"); rows != s.rows {
		s.t.Errorf("%s: the other table has %d rows, want %d", at, rows, s.rows)
	}
	rows, err := s.count(g, "outbox")
	kept := s.keptBackup(c)
	switch {
	case errors.Is(err, messages.ErrUnavailable):
		tables, err := g.ListTables(ctx)
		if err != nil || len(tables) != 2 || !strings.Contains(tables[1].GetReason(), "dropped") {
			s.t.Fatalf("%s: %v, %v", at, tables, err)
		}
		state = "dropped"
	case err != nil:
		s.t.Fatalf("%s: %v", at, err)
	case rows == s.rows:
		state = "open"
	case rows <= 1:
		state = "new"
	default:
		s.t.Errorf("%s: %d rows", at, rows)
	}
	allowed := map[string]string{dropping: "open dropped", creating: "dropped new", made: "new", written: "new"}
	if !strings.Contains(allowed[c.promise], state) || c.promise == written && rows != 1 {
		s.t.Errorf("%s: %s, with %d rows", at, state, rows)
	}
	health, err := g.Health(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if state != "open" && (!kept || len(health.GetUndo()) != 1) {
		s.t.Errorf("%s: a backup with a pin holds all rows: %v; undo %v", at, kept, health.GetUndo())
	}
	return state
}

// count returns how many rows a table has.
func (s *sweep) count(g *actors.Gabion, table string) (rows int, err error) {
	err = g.Table(table).Walk(context.Background(), nil, func(_, _ []byte) error { rows++; return nil })
	return rows, err
}

// keptBackup checks the backups of outbox, and tells whether one with a pin holds all its rows.
func (s *sweep) keptBackup(c sweepClone) (kept bool) {
	dir := c.fs.PathJoin("/g", store.BackupsDir, "outbox")
	checkBackups(s.t, c, "outbox")
	pins, err := c.fs.List(c.fs.PathJoin(dir, "pins"))
	if err != nil {
		return false
	}
	for _, pin := range pins {
		id, isPin := strings.CutSuffix(pin, ".json")
		if !isPin {
			continue
		}
		manifest, err := readManifest(c.fs, c.fs.PathJoin(dir, id))
		if err != nil {
			s.t.Fatalf("after %s: a pin of a backup that is not there: %v", c.after, err)
		}
		kept = kept || int(manifest.GetRecord().GetCount()) == s.rows
	}
	return kept
}
