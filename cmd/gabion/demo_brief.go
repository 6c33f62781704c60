package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops/show"
)

// briefTeller tells the demo to people in a screen and a half: at most 36 lines of at most 100 columns, unless paths are long.
type briefTeller struct {
	textTeller
	title string // of the chapter
}

var _ teller = (*briefTeller)(nil)

// started names the directory once, so that the line is short.
func (t *briefTeller) started(dir, backupDir string) error {
	if filepath.Join(dir, "backups") != backupDir {
		return t.textTeller.started(dir, backupDir)
	}
	return t.say("%s in %s, their backups in backups/ below it\n", show.Plural(len(demoTables), "table"), dir)
}

func (t *briefTeller) imported(i imported) error {
	return t.say("Imported %s as %s in %v; each was answered after its fsync\n\n",
		show.Plural(i.Paragraphs, "paragraph"), show.Plural(int(i.Rows), "row"), i.Took.Round(time.Millisecond))
}

func (t *briefTeller) chapter(_ int, title string) error {
	t.title = title
	return nil
}

// event says nothing: the report has what came of it.
func (t *briefTeller) event(proto.Message) error { return nil }

func (t *briefTeller) report(run int, report *messages.BackupReport) error {
	counts := make(map[messages.Outcome]int)
	var copied int64
	var failures strings.Builder
	for _, r := range report.GetSet().GetResults() {
		counts[r.GetOutcome()]++
		copied += r.GetCopiedBytes()
		if f := r.GetFailure(); f != nil {
			fmt.Fprintf(&failures, "  %s: %s\n", r.GetTable(), f.GetMessage())
		}
	}
	var parts []string
	for _, o := range []messages.Outcome{messages.Outcome_OUTCOME_BACKED_UP, messages.Outcome_OUTCOME_CARRIED_FORWARD, messages.Outcome_OUTCOME_FAILED} {
		if counts[o] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[o], show.Outcome(o)))
		}
	}
	set := report.GetSet()
	took := set.GetFinished().AsTime().Sub(set.GetStarted().AsTime())
	return t.say("Run %d, %s: %s; %s copied in %v\n%s", run, t.title, strings.Join(parts, ", "), show.Size(copied), took.Round(time.Millisecond), failures.String())
}

// retained counts what was decided, with the reasons of what was removed.
func (t *briefTeller) retained(decisions []*messages.RetentionDecision) error {
	var reasons []string
	for _, d := range decisions {
		if outcomeOf(d) == "removed" {
			reasons = append(reasons, d.GetReasons()...)
		}
	}
	why := ""
	if slices.Sort(reasons); len(reasons) > 0 {
		why = " (" + strings.Join(slices.Compact(reasons), ", ") + ")"
	}
	return t.say("Retention after it: %s%s\n", tally(decisions, "removed"), why)
}

func (t *briefTeller) verified(report *messages.VerifyReport) error {
	proven, read := 0, int64(0)
	for _, r := range report.GetResults() {
		read += r.GetProof().GetBytes()
		if r.GetProof().GetVerdict() == messages.Verdict_VERDICT_PROVEN {
			proven++
		}
	}
	return t.say("Proof: %d of %s proven: each file hashed, each block and row read, %s in all\n",
		proven, show.Plural(len(report.GetResults()), "newest backup"), show.Size(read))
}

func (t *briefTeller) restored(lost int, report *messages.RestoreReport) error {
	r := report.GetRestored()
	return t.say("Restore: %s of %s were deleted by mistake, and are back after %v,\n"+
		"  from backup %s, verified; the table as it was is kept as undo\n\n",
		show.Plural(lost, "row"), r.GetTable(), r.GetFinished().AsTime().Sub(r.GetStarted().AsTime()).Round(time.Millisecond), r.GetBackupId())
}

func (t *briefTeller) health(report *messages.HealthReport) error {
	if err := t.out.printf("%s\n", verdict(report)); err != nil {
		return err
	}
	now := time.Now()
	var rows [][]string
	for _, r := range report.GetTables() {
		diskKnown := r.Knows(messages.Figure_FIGURE_DISK)
		rows = append(rows, []string{
			r.GetTable(), show.State(r.GetState()),
			show.Known(r.Knows(messages.Figure_FIGURE_ROWS), strconv.FormatUint(r.GetCount(), 10)),
			show.Known(diskKnown, show.Size(r.GetDiskBytes())),
			show.Known(r.Knows(messages.Figure_FIGURE_BACKUPS), strconv.FormatUint(uint64(r.GetBackups()), 10)),
			show.Known(r.Knows(messages.Figure_FIGURE_LAST_BACKUP), show.Past(now, r.GetLastSuccess())),
			show.Known(r.Knows(messages.Figure_FIGURE_LAST_PROOF), show.Past(now, r.GetLastProof())),
			cmp.Or(show.Grade(r.GetGrade()), show.Unknown),
		})
	}
	return t.out.table("  ", []string{"TABLE", "STATE", "ROWS", "DISK", "BACKUPS", "LAST BACKUP", "LAST PROOF", "GRADE"}, rows)
}
