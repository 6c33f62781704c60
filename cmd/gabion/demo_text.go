package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
)

// textTeller tells the demo to people.
type textTeller struct{ out *output }

var _ teller = textTeller{}

func (t textTeller) say(format string, args ...any) error {
	if err := t.out.printf(format, args...); err != nil {
		return err
	}
	return t.out.flush()
}

func (t textTeller) started(dir, backupDir string) error {
	return t.say("%s in %s, backups in %s\n", plural(len(demoTables), "table"), dir, backupDir)
}

func (t textTeller) chapter(run int, title string) error { return t.say("\nRun %d: %s\n", run, title) }

func (t textTeller) imported(i imported) error {
	return t.say("  imported %s: %s became %s in %v; each was answered after its fsync\n",
		i.Input, plural(i.Paragraphs, "paragraph"), plural(int(i.Rows), "row"), i.Took.Round(time.Millisecond))
}

func (t textTeller) event(event proto.Message) error {
	switch e := event.(type) {
	case *messages.BackupStarted:
		return t.say("  event: backup started: run %s, %s\n", e.GetRunId(), plural(len(e.GetTables()), "table"))
	case *messages.TableBackedUp:
		return t.say("  event: table %s: %s\n", outcomeName(e.GetResult().GetOutcome()), e.GetResult().GetTable())
	case *messages.BackupComplete:
		return t.say("  event: backup complete: %d backed up, %d failed, in %v\n", len(e.GetBackedUp()), len(e.GetFailed()),
			e.GetFinished().AsTime().Sub(e.GetStarted().AsTime()).Round(time.Millisecond))
	case *messages.TableStateChanged:
		return t.say("  event: table %s: %s, was %s\n", stateName(e.GetTo()), e.GetTable(), stateName(e.GetFrom()))
	}
	return nil
}

func (t textTeller) report(_ int, report *messages.BackupReport) error {
	var rows [][]string
	for _, r := range report.GetSet().GetResults() {
		row := []string{r.GetTable(), outcomeName(r.GetOutcome()), "-", "-", "-", "-"}
		if failure := r.GetFailure(); failure != nil {
			row = append(row, failure.GetMessage())
		} else {
			copy(row[2:], []string{r.GetBackupId(), strconv.FormatUint(r.GetCount(), 10), size(r.GetBytes()), size(r.GetCopiedBytes())})
		}
		rows = append(rows, row)
	}
	kept, removed := 0, 0
	for _, decision := range report.GetRetained() {
		if decision.GetKeep() {
			kept++
		} else {
			removed++
		}
	}
	if err := t.say("\n"); err != nil {
		return err
	}
	if err := t.out.table("  ", []string{"TABLE", "OUTCOME", "BACKUP", "ROWS", "SIZE", "COPIED", "REASON"}, rows); err != nil {
		return err
	}
	return t.say("  retention: %d kept, %d removed\n", kept, removed)
}

// retained prints a row for each table and each way retention decided, with how many backups and why.
func (t textTeller) retained(decisions []*messages.RetentionDecision) error {
	type group struct{ table, decision, reasons string }
	numbers := make(map[group][]string)
	for _, d := range decisions {
		g := group{d.GetTable(), "removed", strings.Join(d.GetReasons(), ", ")}
		if d.GetKeep() {
			g.decision = "kept"
		}
		number, _, _ := strings.Cut(d.GetBackupId(), "_")
		numbers[g] = append(numbers[g], number)
	}
	var rows [][]string
	for g, n := range numbers {
		rows = append(rows, []string{g.table, g.decision, strconv.Itoa(len(n)), strings.Join(n, " "), g.reasons})
	}
	// By table, the newest backup first.
	slices.SortFunc(rows, func(a, b []string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(b[3], a[3]))
	})
	if err := t.say("\nWhat retention decided after the last run, and why\n"); err != nil {
		return err
	}
	return t.out.table("  ", []string{"TABLE", "DECISION", "COUNT", "BACKUPS", "WHY"}, rows)
}

func (t textTeller) health(report *messages.HealthReport) error {
	if err := t.say("\nHealth\n"); err != nil {
		return err
	}
	return printHealth(t.out, report, time.Now())
}

func (t textTeller) done(dir string) error {
	program := "gabion"
	if path, err := os.Executable(); err == nil && strings.Contains(filepath.ToSlash(path), "/go-build") {
		program = "go run ./cmd/gabion"
	}
	var commands strings.Builder
	for _, command := range []string{
		"scan " + channelHistory + " --reverse --limit 5",
		"get " + agentcomConfig + " " + inputKey,
		"backups",
	} {
		fmt.Fprintf(&commands, "  %s %s --dir %s\n", program, command, dir)
	}
	return t.say("\nThe directory stays. Look into it with\n%s", commands.String())
}
