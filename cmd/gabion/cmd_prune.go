package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newPrune(out *output) *cobra.Command {
	var at place
	var rules configFlags
	var m messages.PruneBackups
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove the backups that retention does not keep",
		Long: `Remove the backups that retention does not keep, as every run does, and print for each backup what keeps it, or why
nothing does. A server goes by its own rules; others, by flags, $GABION_KEEP and the like or --config, are an error. In place
they are not known: give those of the service the same way. The newest usable and the newest proven backup of each
lineage stay whatever the rules say, and so does what is pinned or being read. The exit code is 3 when something could
not be removed.`,
		Example: `  gabion prune --dry-run --dir DIR
  gabion prune --table tasks --config /etc/gabion.yaml --dir DIR`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := nonEmpty(cmd, "table"); err != nil {
				return err
			}
			if bad := m.Check(); bad != nil {
				return bad
			}
			rules.file = at.file
			config, known, err := rules.loadRules()
			if err != nil {
				return err
			}
			o := ops.OpenOptions{Write: !m.GetDryRun(), Rules: known}
			return at.open(cmd.Context(), o, func(s *ops.Session) error {
				if client := s.Client(); client != nil {
					if err := client.CheckRules(config); err != nil {
						return err
					}
				} else if known == nil {
					return usagef("name the file of the service with --config, or give its rules: --keep 3 --keep-weekly 8",
						"no server holds the directory, and no rules are given")
				}
				report, err := s.PruneBackups(cmd.Context(), &m)
				if err != nil {
					return err
				}
				if out.json {
					err = out.message(report)
				} else {
					err = printPrune(out, report)
				}
				for _, fault := range report.GetFaults() {
					err = errors.Join(err, partialError(fault))
				}
				return err
			})
		},
	}
	at.addFlags(cmd)
	cmd.Flags().StringSliceVar(&m.Tables, "table", nil, "prune the backups of `TABLE` alone; may be given again")
	cmd.Flags().BoolVar(&m.DryRun, "dry-run", false, "print what would be removed, and remove nothing")
	rules.addRules(cmd)
	return cmd
}

// loadRules returns the configuration, and the part that says what retention keeps, nil when nothing says anything of it.
func (c *configFlags) loadRules() (*ops.Config, *actors.Config, error) {
	config, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	known := c.file != "" || os.Getenv(configVariable) != ""
	for i, s := range ops.Settings() {
		known = known || s.IsRule() && config.Values()[i].Source != "default"
	}
	if !known {
		return config, nil, nil
	}
	return config, &config.Gabion, nil
}

func printPrune(out *output, report *messages.PruneReport) error {
	var rows [][]string
	for _, d := range report.GetDecisions() {
		reasons := d.GetReasons()
		if d.GetFault() != "" {
			reasons = append([]string{d.GetFault()}, reasons...)
		}
		rows = append(rows, []string{d.GetTable(), d.GetBackupId(), outcomeOf(d), strings.Join(reasons, "; ")})
	}
	if err := out.table("", []string{"TABLE", "BACKUP", "OUTCOME", "REASONS"}, rows); err != nil {
		return err
	}
	goes, freed := "removed", "freed"
	if report.GetDryRun() {
		goes, freed = "would be removed", "would be freed"
	}
	if n := len(report.GetRemovedSets()); n > 0 {
		if err := out.printf("%s without any backup %s\n", show.Plural(n, "set"), goes); err != nil {
			return err
		}
	}
	return out.printf("%s, %s %s\n", tally(report.GetDecisions(), goes), show.Size(report.GetFreedBytes()), freed)
}

// outcomeOf is what became of a backup on which retention decided.
func outcomeOf(d *messages.RetentionDecision) string {
	switch d.GetOutcome() {
	case messages.RetentionOutcome_RETENTION_OUTCOME_KEPT:
		return "kept"
	case messages.RetentionOutcome_RETENTION_OUTCOME_REMOVED:
		return "removed"
	case messages.RetentionOutcome_RETENTION_OUTCOME_FAILED:
		return "not removed"
	case messages.RetentionOutcome_RETENTION_OUTCOME_FORESEEN:
		return "would be removed"
	}
	if d.GetKeep() {
		return "kept"
	}
	return "unknown" // a server of an older version says what it decided, not what it did
}

// tally counts outcomes: kept and goes always, the others where there are any.
func tally(decisions []*messages.RetentionDecision, goes string) string {
	counts := make(map[string]int)
	for _, d := range decisions {
		counts[outcomeOf(d)]++
	}
	text := fmt.Sprintf("%d kept, %d %s", counts["kept"], counts[goes], goes)
	for _, other := range []string{"not removed", "unknown"} {
		if n := counts[other]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, other)
		}
	}
	return text
}
