package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newBackup(out *output) *cobra.Command {
	var at place
	var label string
	var adopt bool
	cmd := &cobra.Command{
		Use:   "backup [TABLE...]",
		Short: "Back up all tables, or those named, now",
		Long: `Back up all tables, or those named, now, and print what became of each. A table that has not changed is carried
forward. The exit code is 3 when a table failed; it keeps its old backups.

A run is refused when the backup directory is not known to be that of this directory: its backups are of another copy of
it, made by cp -a or a snapshot; or it is empty, though there were backups before, because its disk is not mounted, or is
another one. Nothing is written there then. --adopt makes it the one of this directory from now on. The other copy is
refused there in its turn. Backups that lie there are kept, are no base for new ones, and are restored by name alone.`,
		Example: `  gabion backup --label before-upgrade --dir DIR
  gabion backup --adopt --dir DIR`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			m := &messages.BackupAll{Tables: args, Label: label, Adopt: adopt}
			if bad := m.Check(); bad != nil {
				return bad
			}
			return at.open(cmd.Context(), ops.OpenOptions{Tables: args, Write: true}, func(s *ops.Session) error {
				report, err := s.Backup(cmd.Context(), m)
				if err != nil {
					return err
				}
				if out.json {
					err = out.message(report)
				} else {
					err = printReport(out, "", report)
				}
				return errors.Join(err, failed(report))
			})
		},
	}
	at.addFlags(cmd)
	at.completeTables(cmd, math.MaxInt)
	cmd.Flags().StringVar(&label, "label", "", "keep `LABEL` with the backups")
	cmd.Flags().BoolVar(&adopt, "adopt", false, "make the backup directory that of this directory, where it is not")
	return cmd
}

// failed returns an errPartial unless the run did all that it was to do.
func failed(report *messages.BackupReport) error {
	var faults []error
	for _, result := range report.GetSet().GetResults() {
		if failure := result.GetFailure(); failure != nil {
			fault := partialError(fmt.Sprintf("table %q was not backed up", result.GetTable()))
			faults = append(faults, messages.WithHint(fault, failure.GetHint()))
		}
	}
	for _, fault := range report.GetFaults() {
		faults = append(faults, partialError(fault))
	}
	return errors.Join(faults...)
}

// printReport prints a row for each table of a run, and what retention did.
func printReport(out *output, indent string, report *messages.BackupReport) error {
	var rows [][]string
	for _, r := range report.GetSet().GetResults() {
		row := []string{r.GetTable(), show.Outcome(r.GetOutcome()), "-", "-", "-", "-"}
		if failure := r.GetFailure(); failure != nil {
			row = append(row, failure.GetMessage())
		} else {
			copy(row[2:], []string{r.GetBackupId(), strconv.FormatUint(r.GetCount(), 10), show.Size(r.GetBytes()), show.Size(r.GetCopiedBytes())})
		}
		rows = append(rows, row)
	}
	err := out.table(indent, []string{"TABLE", "OUTCOME", "BACKUP", "ROWS", "SIZE", "COPIED", "REASON"}, rows)
	if err != nil {
		return err
	}
	return out.printf("%sretention: %s\n", indent, tally(report.GetRetained(), "removed"))
}
