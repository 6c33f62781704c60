package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

// textTeller tells the demo to people who want every event and decision.
type textTeller struct{ out *output }

var _ teller = textTeller{}

func (t textTeller) say(format string, args ...any) error {
	if err := t.out.printf(format, args...); err != nil {
		return err
	}
	return t.out.flush()
}

func (t textTeller) reads(b begin) error {
	what := ""
	if b.Input == dpkgStatus {
		what = ", the list of this machine's packages"
	}
	again := ""
	if b.Again {
		again = "An earlier demo filled the directory. Its rows stay, and this run adds to them.\n"
	}
	return t.say("Reads %s%s. Writes nothing outside of the directory below.\n%s", b.Input, what, again)
}

func (t textTeller) started(dir, backupDir string) error {
	return t.say("%s in %s, backups in %s\n", show.Plural(len(demoTables), "table"), dir, backupDir)
}

func (t textTeller) chapter(run int, title string) error { return t.say("\nRun %d: %s\n", run, title) }

func (t textTeller) imported(i imported) error {
	return t.say("  imported %s: %s became %s in %v; each was answered after its fsync\n",
		i.Input, show.Plural(i.Paragraphs, "paragraph"), show.Plural(int(i.Rows), "row"), i.Took.Round(time.Millisecond))
}

func (t textTeller) event(event proto.Message) error {
	return t.say("  event: %s\n", eventText(event))
}

func (t textTeller) report(_ int, report *messages.BackupReport) error {
	if err := t.say("\n"); err != nil {
		return err
	}
	if err := printReport(t.out, "  ", report); err != nil {
		return err
	}
	return t.out.flush()
}

// retained prints a row for each table and each way retention decided, with how many backups and why.
func (t textTeller) retained(decisions []*messages.RetentionDecision) error {
	type group struct{ table, outcome, reasons string }
	numbers := make(map[group][]string)
	for _, d := range decisions {
		g := group{d.GetTable(), outcomeOf(d), strings.Join(d.GetReasons(), ", ")}
		number, _, _ := strings.Cut(d.GetBackupId(), "_")
		numbers[g] = append(numbers[g], number)
	}
	var rows [][]string
	for g, n := range numbers {
		rows = append(rows, []string{g.table, g.outcome, strconv.Itoa(len(n)), strings.Join(n, " "), g.reasons})
	}
	// By table, the newest backup first.
	slices.SortFunc(rows, func(a, b []string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(b[3], a[3]))
	})
	if err := t.say("\nWhat retention decided after the last run, and why\n"); err != nil {
		return err
	}
	return t.out.table("  ", []string{"TABLE", "OUTCOME", "COUNT", "BACKUPS", "WHY"}, rows)
}

func (t textTeller) verified(report *messages.VerifyReport) error {
	if err := t.say("\nProof: every file is hashed, every block and row read, and compared with what was cut\n"); err != nil {
		return err
	}
	return printVerified(t.out, "  ", report)
}

func (t textTeller) restored(lost int, report *messages.RestoreReport) error {
	r := report.GetRestored()
	return t.say("\nRestore: %s lost %s by mistake, and has them back from backup %s after %v, verified;\n  all else went on, and what it was lies there as undo\n",
		r.GetTable(), show.Plural(lost, "row"), r.GetBackupId(),
		r.GetFinished().AsTime().Sub(r.GetStarted().AsTime()).Round(time.Millisecond))
}

func (t textTeller) health(report *messages.HealthReport) error {
	if err := t.say("\nHealth\n"); err != nil {
		return err
	}
	return printHealth(t.out, report, time.Now())
}

func (t textTeller) done(dir string) error {
	return t.say("\nThe directory stays. These commands serve it, with a dashboard at http://%s/,\n"+
		"show how the tables are, and restore one:\n%s", dashboardAddress, nextCommands(dir))
}
