package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

func newBackups(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "backups",
		Short: "List the backup sets and the backups of each table",
		Long: `List the sets, newest first, each with what became of it: complete, partial (a table failed), or thinned
(retention has removed some of its backups since). Then the backups of each table, newest first. gabion backups show
shows one.`,
		Example: `  gabion backups --dir DIR
  gabion backups show tasks/42 --dir DIR`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return at.read(cmd.Context(), nil, func(g *ops.Session) error {
				list, err := g.ListBackups(cmd.Context())
				if err != nil {
					return err
				}
				if out.json {
					return out.message(list)
				}
				return printBackups(out, list, time.Now())
			})
		},
	}
	at.addFlags(cmd)
	cmd.AddCommand(newBackupsShow(out))
	return cmd
}

func printBackups(out *output, list *messages.BackupList, now time.Time) error {
	there := make(map[string]bool, len(list.GetBackups()))
	var backups [][]string
	for _, b := range list.GetBackups() {
		there[b.GetTable()+"/"+b.GetBackupId()] = true
		backups = append(backups, []string{
			b.GetTable(), b.GetBackupId(), strconv.FormatUint(b.GetCount(), 10), size(b.GetBytes()),
			age(now, b.GetFinished()), b.GetRunId(), b.GetLabel(), b.GetFault(),
		})
	}
	var sets [][]string
	for _, set := range list.GetSets() {
		sets = append(sets, []string{
			set.GetRunId(), age(now, set.GetFinished()),
			strconv.Itoa(len(set.GetResults())), setStatus(set, there), set.GetLabel(),
		})
	}
	if err := out.table("", []string{"SET", "AGE", "TABLES", "STATUS", "LABEL"}, sets); err != nil {
		return err
	}
	if err := out.printf("\n"); err != nil {
		return err
	}
	return out.table("", []string{"TABLE", "BACKUP", "ROWS", "SIZE", "AGE", "RUN", "LABEL", "FAULT"}, backups)
}

// setStatus says what became of a set. there holds table/id of every backup that lies on disk; with nil, what
// retention did since is left out.
func setStatus(set *messages.BackupSet, there map[string]bool) string {
	var failed []string
	removed := 0
	for _, result := range set.GetResults() {
		switch {
		case result.GetOutcome() == messages.Outcome_OUTCOME_FAILED:
			failed = append(failed, result.GetTable())
		case there != nil && !there[result.GetTable()+"/"+result.GetBackupId()]:
			removed++
		}
	}
	var status []string
	if len(failed) > 0 {
		status = append(status, "partial: failed "+strings.Join(failed, ", "))
	}
	if removed > 0 {
		status = append(status, fmt.Sprintf("thinned: %d of %d left", len(set.GetResults())-len(failed)-removed, len(set.GetResults())))
	}
	if status == nil {
		return "complete"
	}
	return strings.Join(status, "; ")
}
