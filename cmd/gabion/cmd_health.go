package main

import (
	"errors"
	"fmt"
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
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Show how every table is",
		Long: `Show how every table is: state, rows, the size of the live rows and of the files, the share of the files that
is not live data (fragmentation; - when unknown), and its backups. Where there is a schedule: the last run after which
no table was failing, when a run of all tables last began, and when the next is due. The exit code is 3 when a table is
not open.`,
		Example: "  gabion health --dir DIR",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			fault := partialError(fmt.Sprintf("table %q is in danger: %s", row.GetTable(), row.GetConcerns()[0]))
			faults = append(faults, messages.WithHint(fault, "gabion verify --table "+row.GetTable()+" tells which backups are proven, gabion restore "+row.GetTable()+" restores the newest that is"))
		}
	}
	for _, f := range report.GetFaults() {
		faults = append(faults, messages.WithHint(partialError(f.Error()), f.GetHint()))
	}
	return errors.Join(faults...)
}

// verdict sums all tables up in a line.
func verdict(report *messages.HealthReport) string {
	worst := messages.Grade_GRADE_GREEN
	var named []string
	for _, t := range report.GetTables() {
		switch {
		case t.GetGrade() > worst:
			worst, named = t.GetGrade(), []string{t.GetTable()}
		case t.GetGrade() == worst && worst != messages.Grade_GRADE_GREEN:
			named = append(named, t.GetTable())
		}
	}
	text := strings.ToLower(strings.TrimPrefix(worst.String(), "GRADE_"))
	if len(named) == 0 {
		return text + ": " + show.Plural(len(report.GetTables()), "table")
	}
	return text + ": " + strings.Join(named, ", ")
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
		if !t.GetCountExact() && t.GetState() == messages.TableState_TABLE_STATE_OPEN {
			count = "~" + count
		}
		fragmentation := "-"
		if t.Fragmentation != nil {
			fragmentation = fmt.Sprintf("%.0f%%", 100*t.GetFragmentation())
		}
		rows = append(rows, []string{
			t.GetTable(), show.State(t.GetState()), count, show.Size(t.GetLiveBytes()), show.Size(t.GetDiskBytes()), fragmentation,
			show.Age(now, t.GetLastSuccess()), strconv.FormatUint(uint64(t.GetBackups()), 10), show.Age(now, t.GetLastProof()), concerns(t),
		})
	}
	err := out.table("",
		[]string{"TABLE", "STATE", "ROWS", "LIVE", "DISK", "FRAG", "LAST BACKUP", "BACKUPS", "LAST PROOF", "CONCERNS"}, rows)
	if err != nil {
		return err
	}
	last := "never"
	if run := report.GetLastRun(); run != nil {
		last = fmt.Sprintf("%s, %s, %s", run.GetRunId(), show.Age(now, run.GetFinished()), setStatus(ranStatus(run), len(run.GetResults())))
	}
	if err := out.printf("\nlast run: %s\n", last); err != nil {
		return err
	}
	if report.GetLastAttempt() != nil {
		success := show.Age(now, report.GetLastSuccess())
		if run := report.GetLastSuccessRun(); run != "" {
			success = run + ", " + success
		}
		if err := out.printf("last success: %s\nlast attempt: %s\n", success, show.Age(now, report.GetLastAttempt())); err != nil {
			return err
		}
	}
	if next := report.GetNextRun(); next != nil {
		if err := out.printf("next run: %s\n", show.Age(now, next)); err != nil {
			return err
		}
	}
	if others := report.GetUnconfigured(); len(others) > 0 {
		if err := out.printf("not served: %s\n", strings.Join(others, ", ")); err != nil {
			return err
		}
	}
	for _, u := range report.GetUndo() {
		err := out.printf("kept as undo: %s, %s %s, %s, until %s\n", u.GetTable(), u.GetReason(), show.Age(now, u.GetSince()),
			show.Size(u.GetBytes()), u.GetUntil().AsTime().Format(time.RFC3339))
		if err != nil {
			return err
		}
	}
	return nil
}
