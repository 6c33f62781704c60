package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
)

// numbers are those of a table's backups on disk, oldest first.
func (h *host) numbers(table string) string {
	h.Helper()
	names, err := h.fs.FS.List(backups + "/" + table)
	if err != nil {
		h.Fatal(err)
	}
	var numbers []string
	for _, name := range names {
		if number, _, ok := strings.Cut(name, "_"); ok && !strings.HasPrefix(name, ".") {
			numbers = append(numbers, strings.TrimLeft(number, "0"))
		}
	}
	slices.Sort(numbers)
	return strings.Join(numbers, " ")
}

// filled makes n backups of every table with a policy that keeps them, and starts again with the one of the test.
func filled(h *host, n int, keep int) {
	h.Helper()
	h.config.Keep = n
	h.start()
	for i := range n {
		for _, table := range h.config.Tables {
			h.put(table, "key", fmt.Sprint(i))
		}
		h.backup()
		pass(time.Second)
	}
	h.stop()
	h.config.Keep = keep
	h.start()
}

func (h *host) prune(m *messages.PruneBackups) *messages.PruneReport {
	h.Helper()
	report, err := h.g.PruneBackups(h.Context(), m)
	if err != nil {
		h.Fatalf("prune: %v", err)
	}
	return report
}

// TestPrune: a dry run tells what a prune does, and changes nothing; a prune of one table leaves the others.
func TestPrune(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a", "b"}, DisableDrill: true}, func(h *host) {
		filled(h, 4, 2)
		before := h.tree(backups)
		foreseen := h.prune(&messages.PruneBackups{DryRun: true})
		if fmt.Sprint(before) != fmt.Sprint(h.tree(backups)) {
			t.Error("a dry run changed the backups")
		}
		if !foreseen.GetDryRun() || len(foreseen.GetDecisions()) != 8 || foreseen.GetFreedBytes() <= 0 || len(foreseen.GetRemovedSets()) != 2 {
			t.Errorf("foreseen %v", foreseen)
		}
		one := h.prune(&messages.PruneBackups{Tables: []string{"a", "a"}})
		if a, b := h.numbers("a"), h.numbers("b"); a != "3 4" || b != "1 2 3 4" || len(one.GetDecisions()) != 4 || len(one.GetRemovedSets()) != 0 {
			t.Errorf("left %s and %s: %v", a, b, one)
		}
		all := h.prune(&messages.PruneBackups{})
		if a, b := h.numbers("a"), h.numbers("b"); a != "3 4" || b != "3 4" || len(all.GetRemovedSets()) != 2 || len(all.GetFaults()) != 0 {
			t.Errorf("left %s and %s: %v", a, b, all)
		}
		if one.GetFreedBytes()+all.GetFreedBytes() != foreseen.GetFreedBytes() {
			t.Errorf("freed %d and %d B, foresaw %d", one.GetFreedBytes(), all.GetFreedBytes(), foreseen.GetFreedBytes())
		}
		for _, d := range all.GetDecisions() {
			if len(d.GetReasons()) == 0 || d.GetTable() == "" || d.GetBackupId() == "" {
				t.Errorf("decision %v", d)
			}
		}
		list, err := h.g.ListBackups(h.Context())
		if err != nil || len(list.GetSets()) != 2 {
			t.Errorf("sets %v, %v", list.GetSets(), err)
		}
		for _, m := range []*messages.PruneBackups{{Tables: []string{"a", "nowhere"}}, {Tables: []string{"nowhere"}, DryRun: true}} {
			_, err = h.g.PruneBackups(h.Context(), m)
			wantCode(t, "prune of no backups", err, messages.Code_CODE_NOT_FOUND)
		}
		_, err = h.g.PruneBackups(h.Context(), &messages.PruneBackups{Tables: []string{"Bad Name"}})
		wantCode(t, "prune of a bad name", err, messages.Code_CODE_INVALID_ARGUMENT)
	})
}

// TestPruneGoesInTurn: it waits for the run under way, and the next run for it. A dry run waits for nothing. Those for the
// same tables share one.
func TestPruneGoesInTurn(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a"}, CopyTimeout: time.Hour, DisableDrill: true}, func(h *host) {
		filled(h, 3, 1)
		h.put("a", "key", "new")
		release := h.fs.hang(h.T, under(backups+"/a", "create"))
		run := h.run("")
		first := h.send(h.g.Coordinator(), &messages.PruneBackups{})
		shared := h.send(h.g.Coordinator(), &messages.PruneBackups{})
		dry := h.send(h.g.Coordinator(), &messages.PruneBackups{DryRun: true})
		next := h.run("next")
		h.settle()
		run.none("the run")
		first.none("the prune")
		if report, ok := dry.one("the dry run").(*messages.PruneReport); !ok || len(report.GetDecisions()) != 3 {
			t.Errorf("dry run = %v", dry.answers())
		}
		if left := h.numbers("a"); left != "1 2 3" {
			t.Errorf("beside the run %s are left", left)
		}
		release()
		h.settle()
		run.report("the run")
		next.report("the next run")
		if first.one("the prune") != shared.one("the prune that shares") {
			t.Error("two prunes of the same did not share one")
		}
		if left := h.numbers("a"); left != "4" {
			t.Errorf("left %s", left)
		}
	})
}

// TestPruneBesideAHungPublish: a table whose copy was given up, and hangs still, is a fault; the others are pruned.
func TestPruneBesideAHungPublish(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a", "b"}, DisableDrill: true}, func(h *host) {
		filled(h, 3, 1)
		h.put("a", "key", "new")
		release := h.fs.hang(h.T, under(backups+"/a", "create"))
		h.wantRow(h.backup("a")["a"], failed, "no progress")
		report := h.prune(&messages.PruneBackups{})
		if len(report.GetFaults()) != 1 || !strings.Contains(report.GetFaults()[0], "backup in progress") {
			t.Errorf("faults = %v", report.GetFaults())
		}
		if a, b := h.numbers("a"), h.numbers("b"); a != "1 2 3" || b != "3" {
			t.Errorf("left %s and %s", a, b)
		}
		release()
		h.settle()
	})
}

// TestPruneReportsWhatFailed: a removal that failed is a row and a fault, and no bytes that were freed; so of a run's retention.
func TestPruneReportsWhatFailed(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a"}, DisableDrill: true}, func(h *host) {
		filled(h, 3, 1)
		h.fs.on(under(backups+"/a", "rename"), func(fileOp) error { return syscall.EIO })
		check := func(what string, decisions []*messages.RetentionDecision, faults []string) {
			t.Helper()
			failed := 0
			for _, d := range decisions {
				if d.GetOutcome() == messages.RetentionOutcome_RETENTION_OUTCOME_REMOVED || d.GetKeep() != (d.GetFault() == "") {
					t.Errorf("%s: decision %v", what, d)
				}
				if d.GetOutcome() == messages.RetentionOutcome_RETENTION_OUTCOME_FAILED {
					failed++
				}
			}
			if failed != 2 || len(faults) != 1 {
				t.Errorf("%s: %d failed in %v, faults %v", what, failed, decisions, faults)
			}
		}
		report := h.prune(&messages.PruneBackups{})
		check("prune", report.GetDecisions(), report.GetFaults())
		if left := h.numbers("a"); left != "1 2 3" || report.GetFreedBytes() != 0 {
			t.Errorf("left %s, %v", left, report)
		}
		run, err := h.g.Backup(h.Context(), &messages.BackupAll{}) // nothing has changed, so it needs no rename
		if err != nil {
			t.Fatal(err)
		}
		check("run", run.GetRetained(), run.GetFaults())
	})
}

// TestPruneOnAFullDisk: nothing that it does needs room.
func TestPruneOnAFullDisk(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a"}, DisableDrill: true}, func(h *host) {
		filled(h, 3, 1)
		h.fs.on(under(dir, "create", "write", "mkdir", "link"), func(fileOp) error { return syscall.ENOSPC })
		report := h.prune(&messages.PruneBackups{})
		if left := h.numbers("a"); left != "3" || len(report.GetFaults()) != 0 || report.GetFreedBytes() == 0 {
			t.Errorf("left %s, %v", left, report)
		}
	})
}

// TestPruneOfTablesNotServed: of one that is closed, or that only backups know, every lineage keeps its newest backup; and
// one that is quarantined keeps all.
func TestPruneOfTablesNotServed(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"closed", "gone", "broken", "served"}, DisableDrill: true}, func(h *host) {
		filled(h, 2, 1)
		h.stop()
		// Other lineages than those of the backups.
		h.config.CreateEmpty = true
		for _, table := range []string{"closed", "gone", "broken", "served"} {
			if err := h.fs.FS.RemoveAll(dir + "/tables/" + table); err != nil {
				t.Fatal(err)
			}
		}
		h.config.Keep = 5
		h.start()
		h.put("closed", "key", "new")
		h.put("served", "key", "new")
		h.backup()
		h.stop()
		h.config.CreateEmpty, h.config.Keep = false, 1
		for path, data := range map[string]string{"/tables/broken/current": "garbage"} {
			f, err := h.fs.FS.Create(dir+path, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte(data)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.fs.FS.RemoveAll(dir + "/tables/gone"); err != nil {
			t.Fatal(err)
		}
		h.config.Tables = []string{"closed", "broken", "served"}
		h.start()
		h.wantState("broken", quarantined)
		if err := h.g.CloseTable(h.Context(), "closed"); err != nil {
			t.Fatal(err)
		}
		report := h.prune(&messages.PruneBackups{})
		for table, want := range map[string]string{"closed": "2 3", "gone": "2 3", "broken": "1 2 3", "served": "3"} {
			if left := h.numbers(table); left != want {
				t.Errorf("%s: left %s, want %s: %v", table, left, want, report)
			}
		}
		for _, d := range report.GetDecisions() {
			if d.GetTable() == "broken" && d.GetReasons()[0] != "the table is quarantined" {
				t.Errorf("decision %v", d)
			}
		}
	})
}

// TestMayPrune: not where the directory is only read, unless nothing is to be removed; and never by rules that nobody gave.
func TestMayPrune(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a"}, DisableDrill: true}, func(h *host) {
		filled(h, 2, 1)
		h.stop()
		h.config.ReadOnly, h.config.DisableSchedule = true, true
		h.start()
		_, err := h.g.PruneBackups(h.Context(), &messages.PruneBackups{})
		wantCode(t, "prune of what is only read", err, messages.Code_CODE_PERMISSION_DENIED)
		_, err = h.g.PinBackup(h.Context(), &messages.PinBackup{Table: "a", BackupId: "1"})
		wantCode(t, "pin of what is only read", err, messages.Code_CODE_PERMISSION_DENIED)
		if report := h.prune(&messages.PruneBackups{DryRun: true}); len(report.GetDecisions()) != 2 || report.GetDecisions()[1].GetKeep() {
			t.Errorf("foreseen %v", report)
		}
		h.stop()
		h.config.ReadOnly, h.config.Visit, h.config.Keep = false, true, 0
		h.start()
		for _, dryRun := range []bool{true, false} {
			_, err = h.g.PruneBackups(h.Context(), &messages.PruneBackups{DryRun: dryRun})
			wantCode(t, "prune without rules", err, messages.Code_CODE_FAILED_PRECONDITION)
		}
		if list, err := h.g.ListBackups(h.Context()); err != nil || len(list.GetBackups()[0].GetReasons()) != 0 || list.GetBackups()[1].GetGoes() {
			t.Errorf("list = %v, %v", list, err)
		}
		h.stop()
		h.config.Keep = 1
		h.start()
		h.prune(&messages.PruneBackups{})
		if left := h.numbers("a"); left != "2" {
			t.Errorf("left %s", left)
		}
	})
}

// TestStopWithAPruneWaiting answers it, and removes nothing.
func TestStopWithAPruneWaiting(t *testing.T) {
	stoppedBubble(t, actors.Config{Tables: []string{"a"}, DisableDrill: true}, func(h *host) {
		filled(h, 3, 1)
		h.put("a", "key", "new")
		release := h.fs.hang(h.T, under(backups+"/a", "create"))
		run := h.run("")
		prune := h.send(h.g.Coordinator(), &messages.PruneBackups{})
		h.settle()
		stopped := make(chan error)
		go func() { stopped <- h.g.Stop(h.Context()) }()
		h.settle()
		prune.failure("the waiting prune", messages.Code_CODE_UNAVAILABLE)
		release()
		if err := <-stopped; err != nil && !errors.Is(err, messages.ErrUnavailable) {
			t.Errorf("stop: %v", err)
		}
		run.one("the run")
		if left := h.numbers("a"); !strings.HasPrefix(left, "1 2 3") {
			t.Errorf("left %s", left)
		}
	})
}
