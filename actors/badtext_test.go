package actors_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// migrating configures a table whose rows must be migrated by migrate.
func (h *host) migrating(migrate func(m *actors.Migration) error) {
	h.config.Schemas = map[string]actors.Schema{"tasks": {Version: 1,
		Migrate: func(_ context.Context, m *actors.Migration, _, _ uint64) error { return migrate(m) }}}
}

// TestReasonsThatAreNotUTF8: an error may hold any bytes, and hides nothing.
func TestReasonsThatAreNotUTF8(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		remove := h.fs.on(under(backups+"/tasks", "create", "mkdir"), func(fileOp) error { return errors.New("open /srv/caf\xe9: bad") })
		if _, err := h.g.BackupAll(h.Context()); err != nil {
			t.Fatal(err)
		}
		remove()
		if got := kinds(h.logged(nil)); got != "TableStateChanged BackupStarted TableBackedUp BackupComplete" {
			t.Errorf("logged %s", got)
		}
		if list, err := h.g.ListBackups(h.Context()); err != nil || len(list.GetSets()) != 1 {
			t.Errorf("%d sets, %v", len(list.GetSets()), err)
		}
		h.stop()
		h.migrating(func(*actors.Migration) error { return errors.New("row \xff is bad") })
		h.start()
		pass(10 * time.Minute)
		h.settle()
		list, err := h.g.ListTables(h.Context())
		if _, marshal := proto.Marshal(&messages.TableList{Tables: list}); err != nil || marshal != nil {
			t.Errorf("tables: %v, %v", err, marshal)
		}
		report, err := h.g.Health(h.Context())
		if _, marshal := proto.Marshal(report); err != nil || marshal != nil {
			t.Errorf("health: %v, %v", err, marshal)
		}
		_, err = h.g.Table("tasks").Get(h.Context(), []byte("k"))
		if _, marshal := proto.Marshal(messages.FailureOf(err)); marshal != nil {
			t.Errorf("failure: %v", marshal)
		}
	})
}

// TestFailingMigrationLeavesOneBackup: tries leave the backup of the rows before the first, and none before is removed.
func TestFailingMigrationLeavesOneBackup(t *testing.T) {
	bubble(t, actors.Config{Keep: 2}, func(h *host) {
		for i := range 2 {
			h.put("tasks", "n", fmt.Sprint(-i))
			h.backup()
		}
		h.put("tasks", "n", "last")
		h.stop()
		tries := 0
		h.migrating(func(m *actors.Migration) error {
			tries++
			if err := m.Write(&messages.Write{Ops: []*messages.Op{putOp("n", fmt.Sprint(tries))}}); err != nil {
				return err
			}
			return errors.New("half way")
		})
		h.start()
		pass(10 * time.Minute)
		h.settle()
		list, err := h.g.ListBackups(h.Context(), "tasks")
		var seqs []uint64
		for _, b := range list.GetBackups() {
			seqs = append(seqs, b.GetPosition().GetSeq())
		}
		if got := fmt.Sprint(seqs); err != nil || got != "[3 2 1]" || tries < 5 {
			t.Errorf("after %d tries there are backups of %s, %v", tries, got, err)
		}
	})
}

// TestMigrateThatEndsItsGoroutine, as a test's FailNow does, is an error.
func TestMigrateThatEndsItsGoroutine(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		h.put("tasks", "k", "v")
		h.stop()
		h.migrating(func(*actors.Migration) error { runtime.Goexit(); return nil })
		h.start()
		h.wantState("tasks", reopening)
		h.stop()
		h.config.Schemas = nil
		h.start()
		h.wantValue("tasks", "k", "v")
	})
}

// TestErrorsOfAnEndedContext match the context's, whoever noticed first.
func TestErrorsOfAnEndedContext(t *testing.T) {
	h := newHost(t, actors.Config{})
	for i := range 5000 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%300)*time.Microsecond)
		_, err := h.g.Table("tasks").Put(ctx, []byte("k"), []byte("v"))
		if err != nil && ctx.Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("put %d: %v", i, err)
		}
		cancel()
	}
}

// TestWalkToTheEnd is whole though its context ends with the last row.
func TestWalkToTheEnd(t *testing.T) {
	h := newHost(t, actors.Config{})
	h.put("tasks", "k", "v")
	ctx, cancel := context.WithCancel(h.Context())
	defer cancel()
	err := h.g.Table("tasks").Walk(ctx, nil, func(_, _ []byte) error { cancel(); return nil })
	if err != nil {
		t.Errorf("walk: %v", err)
	}
}
