package actors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// upgrade is a Schema that doubles every value, drops the rows whose key begins with x, and counts its runs.
func upgrade(to uint64, runs *[]string) actors.Schema {
	return actors.Schema{Version: to, Migrate: func(ctx context.Context, m *actors.Migration, from, to uint64) error {
		*runs = append(*runs, fmt.Sprintf("%s %d->%d", m.Table(), from, to))
		return m.Rewrite(ctx, func(key, value []byte) ([]byte, bool, error) {
			return append(value, value...), key[0] != 'x', nil
		})
	}}
}

// TestMigrate: rows of a lower version are brought to the program's, once, after a backup with a pin; tables that are new are at it from
// the start.
func TestMigrate(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}, Keep: 1}, func(h *host) {
		for i := range 30 { // several Writes
			h.put("tasks", fmt.Sprintf("k%02d", i), strings.Repeat("v", 100_000))
		}
		h.put("tasks", "x", "goes")
		h.stop()
		var runs []string
		h.config.Tables = append(h.config.Tables, "fresh")
		h.config.Schemas = map[string]actors.Schema{"tasks": upgrade(3, &runs), "fresh": upgrade(7, &runs)}
		h.start()
		for range 2 {
			h.wantValue("tasks", "k07", strings.Repeat("v", 200_000))
			h.wantValue("tasks", "x", "")
			h.put("fresh", "k", "v")
			if got := fmt.Sprint(runs); got != "[tasks 0->3]" {
				t.Errorf("migrations = %s", got)
			}
			if n := h.health("tasks").GetCount(); n != 30 {
				t.Errorf("%d rows", n)
			}
			h.stop()
			h.start()
		}
		list, err := h.g.ListBackups(h.Context(), "tasks")
		if err != nil || len(list.GetBackups()) != 1 {
			t.Fatalf("backups = %v, %v", list.GetBackups(), err)
		}
		const label = "before migration from version 0 to 3"
		if b := list.GetBackups()[0]; b.GetPinned() != label || b.GetLabel() != label || b.GetCount() != 31 || b.GetPosition().GetSeq() != 31 {
			t.Errorf("backup = %v", b)
		}
		if sets := list.GetSets(); len(sets) != 1 || sets[0].GetLabel() != label {
			t.Errorf("sets = %v", sets)
		}
		// One version further: what was backed up since is carried forward, and pinned.
		backup := h.backup("tasks")["tasks"].GetBackupId()
		h.stop()
		h.config.Schemas = map[string]actors.Schema{"tasks": upgrade(4, &runs)}
		h.start()
		list, err = h.g.ListBackups(h.Context(), "tasks")
		if err != nil || list.GetBackups()[0].GetBackupId() != backup || !strings.Contains(list.GetBackups()[0].GetPinned(), "from version 3 to 4") {
			t.Errorf("backups = %v, %v", list.GetBackups(), err)
		}
	})
}

// TestMigrateAtCut: the backup before it has the right count, though the table keeps none.
func TestMigrateAtCut(t *testing.T) {
	bubble(t, actors.Config{AtCut: []string{"tasks"}}, func(h *host) {
		for i := range 20 {
			h.put("tasks", fmt.Sprint(i), "v")
		}
		h.stop()
		var runs []string
		h.config.Schemas = map[string]actors.Schema{"tasks": upgrade(1, &runs)}
		h.start()
		h.wantValue("tasks", "7", "vv")
		list, err := h.g.ListBackups(h.Context(), "tasks")
		if err != nil || len(list.GetBackups()) != 1 || list.GetBackups()[0].GetCount() != 20 {
			t.Errorf("backups = %v, %v, want one of 20 rows", list.GetBackups(), err)
		}
	})
}

// TestMigrateNoWay: rows that are newer than the program, or that it cannot migrate, are not served and not touched.
func TestMigrateNoWay(t *testing.T) {
	for what, schema := range map[string]actors.Schema{"older": {Version: 2}, "without": {Version: 4}} {
		t.Run(what, func(t *testing.T) {
			bubble(t, actors.Config{Schemas: map[string]actors.Schema{"tasks": {Version: 3}}}, func(h *host) {
				h.put("tasks", "k", "v")
				h.stop()
				h.config.Schemas = map[string]actors.Schema{"tasks": schema}
				h.start()
				h.wantState("tasks", quarantined)
				wantText(t, h.info("tasks").GetReason(), "schema version 3", fmt.Sprint(schema.Version))
				if h.info("tasks").GetHint() == "" {
					t.Error("no hint")
				}
				h.stop()
				h.config.Schemas = map[string]actors.Schema{"tasks": {Version: 3}}
				h.start()
				h.wantValue("tasks", "k", "v")
			})
		})
	}
}

// TestMigrateThatFails is tried again from the start, with back-off, while the table answers that it opens; in the end it is
// quarantined. What it panics with ends nothing.
func TestMigrateThatFails(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "other"}}, func(h *host) {
		h.put("tasks", "a", "1")
		h.put("tasks", "b", "1")
		h.stop()
		tries := 0
		var repaired bool
		h.config.Schemas = map[string]actors.Schema{"tasks": {Version: 1, Migrate: func(ctx context.Context, m *actors.Migration, _, _ uint64) error {
			tries++
			if _, found, err := m.Get([]byte("a")); !found || err != nil {
				t.Errorf("get = %v, %v", found, err)
			}
			if err := m.Write(&messages.Write{Ops: []*messages.Op{putOp("a", "2")}}); err != nil {
				return err
			}
			switch {
			case repaired:
				return m.Write(&messages.Write{Ops: []*messages.Op{putOp("b", "2")}})
			case tries%2 == 0:
				panic("half way")
			}
			return errors.New("half way")
		}}}
		h.start()
		h.wantState("tasks", reopening)
		f := h.send(h.pid("tasks"), get("a"))
		h.settle()
		f.failure("get", messages.Code_CODE_UNAVAILABLE)
		h.put("other", "k", "v")
		pass(10 * time.Minute)
		h.wantState("tasks", quarantined)
		wantText(t, h.info("tasks").GetReason(), "migration from version 0 to 1", "half way")
		if tries != 11 {
			t.Errorf("%d tries, want 11", tries)
		}
		repaired = true
		if err := h.g.RetryTable(h.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		h.wantValue("tasks", "a", "2")
		h.wantValue("tasks", "b", "2")
	})
}

// TestMigrateAfterItsBackup only: without it nothing is changed.
func TestMigrateAfterItsBackup(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.stop()
		var runs []string
		h.config.Schemas = map[string]actors.Schema{"tasks": upgrade(1, &runs)}
		for _, match := range []func(fileOp) bool{ // the cut, the copy, the pin
			func(o fileOp) bool { return o.kind == "mkdir" && strings.HasPrefix(o.path, dir+"/staging/") },
			under(backups+"/tasks", "create"),
			under(backups+"/tasks/pins", "create", "mkdir"),
		} {
			repair := h.fs.fail(match)
			h.start()
			h.wantState("tasks", reopening)
			wantText(t, h.info("tasks").GetReason(), "backup before migration")
			if len(runs) > 0 {
				t.Fatalf("migrations = %v", runs)
			}
			h.stop()
			repair()
		}
		h.start()
		h.wantValue("tasks", "k", "vv")
	})
}

// TestMigrateAcrossCrash: a crash in the middle is another try; what was written before is there.
func TestMigrateAcrossCrash(t *testing.T) {
	bubble(t, actors.Config{FS: vfs.NewCrashableMem()}, func(h *host) {
		mem := h.fs.FS.(*vfs.MemFS)
		h.put("tasks", "a", "1")
		h.put("tasks", "b", "1")
		h.stop()
		var image *vfs.MemFS
		h.config.Schemas = map[string]actors.Schema{"tasks": {Version: 1, Migrate: func(ctx context.Context, m *actors.Migration, _, _ uint64) error {
			if err := m.Write(&messages.Write{Ops: []*messages.Op{putOp("a", "2")}}); err != nil {
				return err
			}
			image = mem.CrashClone(vfs.CrashCloneCfg{})
			return m.Write(&messages.Write{Ops: []*messages.Op{putOp("b", "2")}})
		}}}
		h.start()
		h.stop()
		again := 0
		crashed := prepare(h.T, actors.Config{FS: image, Schemas: map[string]actors.Schema{"tasks": {Version: 1,
			Migrate: func(ctx context.Context, m *actors.Migration, from, _ uint64) error {
				again++
				a, _, _ := m.Get([]byte("a"))
				b, _, _ := m.Get([]byte("b"))
				if string(a) != "2" || string(b) != "1" || from != 0 {
					t.Errorf("after the crash a is %s, b is %s, version %d", a, b, from)
				}
				return m.Write(&messages.Write{Ops: []*messages.Op{putOp("b", "2")}})
			}}}})
		crashed.start()
		crashed.wantValue("tasks", "b", "2")
		if again != 1 {
			t.Errorf("%d migrations after the crash", again)
		}
	})
}

// TestStopDuringMigrate ends its context, and waits for it as long as Stop's own.
func TestStopDuringMigrate(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.stop()
		h.config.Schemas = map[string]actors.Schema{"tasks": {Version: 1, Migrate: func(ctx context.Context, m *actors.Migration, _, _ uint64) error {
			<-ctx.Done()
			return nil // as if it had done its work
		}}}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		begin := time.Now()
		if _, err := actors.Start(ctx, h.system, h.config); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("start = %v", err)
		}
		if took := time.Since(begin); took > time.Minute+2*time.Second {
			t.Errorf("start took %v", took)
		}
		var runs []string
		h.config.Schemas = map[string]actors.Schema{"tasks": upgrade(1, &runs)}
		h.start()
		h.wantValue("tasks", "k", "vv")
	})
}

// TestSchemaFaults are named all at once.
func TestSchemaFaults(t *testing.T) {
	root := vfs.NewMem()
	refused(t, root, actors.Config{Dir: dir, FS: root, Tables: []string{"tasks"}, Schemas: map[string]actors.Schema{
		"No": {Version: 1}, "tasks": {},
	}}, `"No"`, `schema of table "tasks" has version 0`)
}
