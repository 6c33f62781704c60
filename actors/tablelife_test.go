package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// names are the tables that ListTables shows, unconfigured ones with a star.
func (h *host) names() string {
	h.Helper()
	list, err := h.g.ListTables(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	var names []string
	for _, info := range list {
		name := info.GetTable()
		if info.GetUnconfigured() {
			name += "*"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// wantCode wants err to be a Failure of code with a hint.
func wantCode(t *testing.T, what string, err error, code messages.Code) {
	t.Helper()
	var f *messages.Failure
	if !errors.As(err, &f) || f.GetCode() != code || f.GetHint() == "" {
		t.Errorf("%s = %v, want a Failure of %v with a hint", what, err, code)
	}
}

// TestCreateTable: a table made while the host runs is one like any other, from its first message on; the next start lists it as
// unconfigured until somebody opens it.
func TestCreateTable(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		handle := h.g.Table("fresh") // before there is one
		if _, err := handle.Put(h.Context(), []byte("k"), nil); !errors.Is(err, messages.ErrNotFound) {
			t.Errorf("put into no table = %v", err)
		}
		for range 2 {
			if err := h.g.CreateTable(h.Context(), "fresh", false); err != nil && h.names() == "tasks" {
				t.Fatal(err)
			}
		}
		wantCode(t, "create of a table that is there", h.g.CreateTable(h.Context(), "fresh", true), messages.Code_CODE_ALREADY_EXISTS)
		if _, err := handle.Put(h.Context(), []byte("k"), []byte("v")); err != nil {
			t.Fatal(err)
		}
		if got := h.names(); got != "fresh tasks" {
			t.Errorf("tables = %s", got)
		}
		h.wantRow(h.backup()["fresh"], backedUp)
		if h.health("fresh").GetCount() != 1 {
			t.Error("health does not know the row")
		}
		h.stop()
		h.start()
		if got := h.names(); got != "tasks fresh*" {
			t.Errorf("tables after a start = %s", got)
		}
		wantCode(t, "get of an unconfigured table", failureOf(h.g.Table("fresh").Get(h.Context(), []byte("k"))), messages.Code_CODE_NOT_FOUND)
		wantCode(t, "create of an unconfigured table", h.g.CreateTable(h.Context(), "fresh", true), messages.Code_CODE_ALREADY_EXISTS)
		if err := h.g.OpenTable(h.Context(), "fresh"); err != nil {
			t.Fatal(err)
		}
		h.wantValue("fresh", "k", "v")
		h.wantRow(h.backup()["fresh"], carried)
		if got := h.names(); got != "fresh tasks" {
			t.Errorf("tables = %s", got)
		}
	})
}

func hints(err error) string { return strings.Join(messages.Hints(err), "; ") }

func failureOf[T any](_ T, err error) error { return err }

// TestCreateTableRefuses what is no table, and what backups know.
func TestCreateTableRefuses(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "lost"}}, func(h *host) {
		h.put("lost", "k", "v")
		h.backup()
		h.stop()
		if err := h.fs.FS.RemoveAll(dir + "/tables/lost"); err != nil {
			t.Fatal(err)
		}
		h.config.Tables = []string{"tasks"}
		h.start()
		h.settle()
		before := h.tree(dir + "/tables")
		wantCode(t, "create of a missing table", h.g.CreateTable(h.Context(), "lost", false), messages.Code_CODE_FAILED_PRECONDITION)
		for _, name := range []string{"", "No", "backup", "../x"} {
			if err := h.g.CreateTable(h.Context(), name, true); !errors.Is(err, messages.ErrInvalid) || len(messages.Hints(err)) == 0 {
				t.Errorf("create of %q = %v", name, err)
			}
			if err := h.g.OpenTable(h.Context(), name); err == nil {
				t.Errorf("open of %q succeeded", name)
			}
		}
		wantCode(t, "open of no table", h.g.OpenTable(h.Context(), "absent"), messages.Code_CODE_NOT_FOUND)
		if got := h.tree(dir + "/tables"); !slices.Equal(got, before) {
			t.Errorf("what was refused changed the disk from %q to %q", before, got)
		}
		if got := h.names(); got != "tasks" {
			t.Errorf("tables = %s", got)
		}
		if err := h.g.CreateTable(h.Context(), "lost", true); err != nil {
			t.Fatal(err)
		}
		h.wantValue("lost", "k", "")
	})
}

// TestCreateTableThatFails leaves no table, and can be asked for again.
func TestCreateTableThatFails(t *testing.T) {
	bubble(t, actors.Config{}, func(h *host) {
		repair := h.fs.fail(under(dir+"/tables/fresh", "mkdir"))
		if err := h.g.CreateTable(h.Context(), "fresh", false); !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("create = %v", err)
		}
		if got := h.names(); got != "tasks" {
			t.Errorf("tables = %s", got)
		}
		repair()
		if err := h.g.CreateTable(h.Context(), "fresh", false); err != nil {
			t.Fatal(err)
		}
		h.put("fresh", "k", "v")
	})
}

// TestRetryTable opens what waits, and what is quarantined, at once; what is lost it does not accept.
func TestRetryTable(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "lost"}}, func(h *host) {
		h.put("tasks", "k", "v")
		h.put("lost", "k", "v")
		h.backup()
		h.stop()
		if err := h.fs.FS.RemoveAll(dir + "/tables/lost"); err != nil {
			t.Fatal(err)
		}
		repair := h.fs.fail(under(dir+"/tables/tasks/current", "open"))
		h.start()
		if err := h.g.RetryTable(h.Context(), "tasks"); err == nil || !strings.Contains(err.Error(), errInjected.Error()) {
			t.Errorf("retry of a table that cannot be opened = %v", err)
		}
		pass(10 * time.Minute)
		h.wantState("tasks", quarantined)
		if err := h.g.OpenTable(h.Context(), "tasks"); err == nil || !strings.Contains(hints(err), "RetryTable, or gabion tables retry, tries again at once") {
			t.Errorf("open of a quarantined table = %v", err)
		}
		repair()
		for range 2 { // also of one that is open
			if err := h.g.RetryTable(h.Context(), "tasks"); err != nil {
				t.Fatal(err)
			}
		}
		h.wantValue("tasks", "k", "v")
		if err := h.g.RetryTable(h.Context(), "lost"); !strings.Contains(fmt.Sprint(err), "missing") {
			t.Errorf("retry of a missing table = %v", err)
		}
		h.wantState("lost", quarantined)
		if err := errors.Join(h.g.CloseTable(h.Context(), "tasks"), h.g.RetryTable(h.Context(), "tasks")); err == nil {
			t.Error("retry opened a table that somebody had closed")
		}
		wantCode(t, "retry of no table", h.g.RetryTable(h.Context(), "absent"), messages.Code_CODE_NOT_FOUND)
	})
}

// TestTableLifeBesideStop: whatever is asked for while Gabion stops is answered, once.
func TestTableLifeBesideStop(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"tasks", "old"}}, func(h *host) {
		h.put("old", "k", "v")
		release := h.fs.hang(h.T, under(backups+"/old", "create"))
		all := []*sender{h.send(h.g.Supervisor(), &messages.DropTable{Table: "old"})}
		h.settle()
		for i := range 20 {
			all = append(all, h.send(h.g.Supervisor(), &messages.CreateTable{Table: fmt.Sprint("t", i)}))
		}
		stop := async(func() (string, error) { return "", h.g.Stop(h.Context()) })
		h.settle()
		release()
		pass(time.Minute)
		h.settle()
		stop.want(h, "stop", "")
		for i, s := range all {
			s.one(fmt.Sprint("request ", i))
		}
		h.start()
		h.wantState("old", open)
		h.wantValue("old", "k", "v")
	})
}

// TestRunOfPins: a pin is of every backup that the run names, those carried forward too, and parts runs like a label.
func TestRunOfPins(t *testing.T) {
	bubble(t, actors.Config{Tables: []string{"a", "b"}, Keep: 1}, func(h *host) {
		h.put("a", "k", "v")
		h.put("b", "k", "v")
		first := h.backup()
		h.put("b", "k", "w")
		report, err := h.g.Backup(h.Context(), &messages.BackupAll{Pin: true, Label: "before the upgrade"})
		if err != nil {
			t.Fatal(err)
		}
		pinned := rows(report)
		h.wantRow(pinned["a"], carried)
		for i := range 3 {
			h.put("a", "k", fmt.Sprint(i))
			h.put("b", "k", fmt.Sprint(i))
			h.backup()
		}
		list, err := h.g.ListBackups(h.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, b := range list.GetBackups() {
			if b.GetPinned() != "" {
				got[b.GetTable()] = b.GetBackupId() + " " + b.GetPinned()
			}
		}
		want := map[string]string{"a": first["a"].GetBackupId() + " before the upgrade", "b": pinned["b"].GetBackupId() + " before the upgrade"}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(list.GetBackups()) != 4 {
			t.Errorf("%d backups, pinned %v, want %v and the newest", len(list.GetBackups()), got, want)
		}
	})
}
