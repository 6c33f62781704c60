package main

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newHealth(out *output) *cobra.Command {
	var at place
	var note messages.AcknowledgeLoss
	var ids []string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Show how every table is",
		Long: `Show how every table is: state, rows, the size of the live rows and of the files, the share of the files that
is not live data (fragmentation; - while it is not known), and its backups. The first line sums it up: green, or yellow or red with
the reason. What cannot be found out is unknown, and no table is green then. Where there is a schedule: the last run after which
no table was failing, when a run of all tables last began, and when the next is due. The exit code is 3 when a table is
not open, or in danger.

What a healing lost stays a concern, in red, until somebody takes note of it with --acknowledge.`,
		Example: "  gabion health --dir DIR\n  gabion health --acknowledge 01M8BFJ18FYM8GRTF09B80YVBZ --note \"sent again\" --dir DIR",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("acknowledge") {
				return acknowledge(cmd, &at, ids, &note, out)
			}
			if cmd.Flags().Changed("note") {
				return usagef("name losses with --acknowledge", "--note belongs to --acknowledge")
			}
			return at.read(cmd.Context(), nil, func(g *ops.Session) error {
				report, err := g.Health(cmd.Context())
				if err != nil {
					return err
				}
				if out.json {
					err = out.message(report)
				} else {
					err = printHealth(out, report, time.Now())
				}
				return errors.Join(err, unhealthy(report))
			})
		},
	}
	at.addFlags(cmd)
	cmd.Flags().StringSliceVar(&ids, "acknowledge", nil, "take note of the losses `ID`, or of all")
	cmd.Flags().StringVar(&note.Note, "note", "", "keep `TEXT` with what is acknowledged, for people")
	return cmd
}

// unhealthy returns an errPartial unless every table is open and everything could be found out.
func unhealthy(report *messages.HealthReport) error {
	var faults []error
	for _, row := range report.GetTables() {
		if row.GetState() != messages.TableState_TABLE_STATE_OPEN {
			fault := partialError(fmt.Sprintf("table %q is %s", row.GetTable(), show.State(row.GetState())))
			faults = append(faults, messages.WithHint(fault, row.GetHint()))
		} else if row.GetGrade() == messages.Grade_GRADE_RED {
			if lost(report, row.GetTable()) && strings.HasPrefix(row.GetConcerns()[0], "lost ") {
				continue // a loss says so itself
			}
			fault := partialError(fmt.Sprintf("table %q is in danger: %s", row.GetTable(), row.GetConcerns()[0]))
			faults = append(faults, messages.WithHint(fault, "gabion verify --table "+row.GetTable()+" tells which backups are proven, gabion restore "+row.GetTable()+" restores the newest that is"))
		}
	}
	for _, loss := range report.GetLosses() {
		fault := partialError(fmt.Sprintf("table %q: %s", loss.GetTable(), show.Loss(loss)))
		faults = append(faults, messages.WithHint(fault, "when what is lost was dealt with: gabion health --acknowledge "+loss.GetId()))
	}
	for _, f := range report.GetFaults() {
		faults = append(faults, messages.WithHint(partialError(f.Error()), f.GetHint()))
	}
	if len(faults) == 0 && report.GetGrade() == messages.Grade_GRADE_RED {
		faults = append(faults, partialError(show.Concerns(report.GetConcerns())))
	}
	return errors.Join(faults...)
}

func lost(report *messages.HealthReport, table string) bool {
	return slices.ContainsFunc(report.GetLosses(), func(l *messages.Loss) bool { return l.GetTable() == table })
}

// acknowledge takes note of losses.
func acknowledge(cmd *cobra.Command, at *place, ids []string, m *messages.AcknowledgeLoss, out *output) error {
	if err := nonEmpty(cmd, "acknowledge"); err != nil {
		return err
	}
	m.By = "gabion health"
	if u, err := user.Current(); err == nil {
		m.By = messages.Text(u.Username)
	}
	if m.All = slices.Equal(ids, []string{"all"}); !m.All {
		m.Ids = ids
	}
	if bad := m.Check(); bad != nil {
		return bad
	}
	return at.open(cmd.Context(), ops.OpenOptions{Backups: true}, func(s *ops.Session) error {
		noted, err := s.AcknowledgeLoss(cmd.Context(), m)
		if err != nil {
			return err
		}
		if out.json {
			return out.message(&messages.LossList{Losses: noted})
		}
		for _, loss := range noted {
			if err := out.printf("acknowledged: table %s %s\n", loss.GetTable(), show.Loss(loss)); err != nil {
				return err
			}
		}
		if len(noted) == 0 {
			return out.printf("there is no loss that nobody has acknowledged\n")
		}
		return nil
	})
}

// verdict sums all tables up in a line, with the reason.
func verdict(report *messages.HealthReport) string {
	text := show.Grade(report.GetGrade()) + ": "
	if all := report.GetConcerns(); len(all) > 0 {
		return text + show.Concerns(all)
	}
	return text + show.Plural(len(report.GetTables()), "table")
}

// concerns are what is not as it should be, in one cell.
func concerns(t *messages.TableHealth) string {
	if all := strings.Join(t.GetConcerns(), "; "); all != "" && !strings.Contains(all, t.GetReason()) {
		return all + ": " + t.GetReason()
	} else if all != "" {
		return all
	}
	return t.GetReason()
}

func printHealth(out *output, report *messages.HealthReport, now time.Time) error {
	if err := out.printf("%s\n\n", verdict(report)); err != nil {
		return err
	}
	var rows [][]string
	for _, t := range report.GetTables() {
		count := strconv.FormatUint(t.GetCount(), 10)
		if !t.GetCountExact() {
			count = "~" + count
		}
		backups := strconv.FormatUint(uint64(t.GetBackups()), 10)
		if red := t.GetRedBackups(); red > 0 {
			backups += fmt.Sprintf(" (%d red)", red)
		}
		rowsKnown, diskKnown := t.Knows(messages.Figure_FIGURE_ROWS), t.Knows(messages.Figure_FIGURE_DISK)
		fragmentation := "-"
		if t.Fragmentation != nil {
			fragmentation = fmt.Sprintf("%.0f%%", 100*t.GetFragmentation())
		}
		rows = append(rows, []string{
			t.GetTable(), show.State(t.GetState()), show.Known(rowsKnown, count), show.Known(rowsKnown, show.Size(t.GetLiveBytes())),
			show.Known(diskKnown, show.Size(t.GetDiskBytes())), fragmentation,
			show.Known(t.Knows(messages.Figure_FIGURE_LAST_BACKUP), show.Past(now, t.GetLastSuccess())),
			show.Known(t.Knows(messages.Figure_FIGURE_BACKUPS), backups),
			show.Known(t.Knows(messages.Figure_FIGURE_LAST_PROOF), show.Past(now, t.GetLastProof())), concerns(t),
		})
	}
	err := out.table("",
		[]string{"TABLE", "STATE", "ROWS", "LIVE", "DISK", "FRAG", "LAST BACKUP", "BACKUPS", "LAST PROOF", "CONCERNS"}, rows)
	if err != nil {
		return err
	}
	if err := printRuns(out, report, now); err != nil {
		return err
	}
	return printOnDisk(out, report, now)
}

// printRuns prints when runs were, and when the next is due.
func printRuns(out *output, report *messages.HealthReport, now time.Time) error {
	last := show.Known(report.Knows(messages.Figure_FIGURE_LAST_RUN), "never")
	if run := report.GetLastRun(); run != nil {
		last = fmt.Sprintf("%s, %s, %s", run.GetRunId(), show.Past(now, run.GetFinished()), setStatus(ranStatus(run), len(run.GetResults())))
	}
	if err := out.printf("\nlast run: %s\n", last); err != nil {
		return err
	}
	successKnown, attemptKnown := report.Knows(messages.Figure_FIGURE_LAST_BACKUP), report.Knows(messages.Figure_FIGURE_SCHEDULE)
	if report.GetLastAttempt() != nil || !successKnown || !attemptKnown {
		success := show.Known(successKnown, show.Past(now, report.GetLastSuccess()))
		if run := report.GetLastSuccessRun(); run != "" {
			success = run + ", " + success
		}
		attempt := show.Known(attemptKnown, show.Past(now, report.GetLastAttempt()))
		if err := out.printf("last success: %s\nlast attempt: %s\n", success, attempt); err != nil {
			return err
		}
	}
	if next := report.GetNextRun(); next != nil {
		if err := out.printf("next run: %s\n", show.Age(now, next)); err != nil {
			return err
		}
	}
	return nil
}

// printOnDisk prints what the directory has beside the tables that are served.
func printOnDisk(out *output, report *messages.HealthReport, now time.Time) error {
	var unknown []string
	if !report.Knows(messages.Figure_FIGURE_UNCONFIGURED) {
		unknown = append(unknown, "not served: unknown")
	}
	if !report.Knows(messages.Figure_FIGURE_UNDO) {
		unknown = append(unknown, "kept as undo: unknown")
	}
	for _, line := range unknown {
		if err := out.printf("%s\n", line); err != nil {
			return err
		}
	}
	for _, text := range report.GetLacking() {
		if err := out.printf("file system of the %s\n", text); err != nil {
			return err
		}
	}
	if others := report.GetUnconfigured(); len(others) > 0 {
		if err := out.printf("not served: %s\n", strings.Join(others, ", ")); err != nil {
			return err
		}
	}
	for _, u := range report.GetUndo() {
		err := out.printf("kept as undo: %s, %s %s, %s, until %s\n", u.GetTable(), u.GetReason(), show.Known(u.GetSince() != nil, show.Past(now, u.GetSince())),
			show.Size(u.GetBytes()), u.GetUntil().AsTime().Format(time.RFC3339))
		if err != nil {
			return err
		}
	}
	return nil
}
