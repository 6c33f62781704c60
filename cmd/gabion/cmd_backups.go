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

func newBackups(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "backups",
		Short: "List the backup sets and the backups of each table",
		Long: `List the sets, newest first, each with what is left of it: complete, partial (a table failed), or thinned
(a backup is gone since, or is another one). What cannot be read is unknown. Then the backups of each table, newest first: OWN is what the removal of
one alone gives back, SHARED the size of its files that other backups hold too, RETENTION what keeps it, as far as the
rules are known: a server knows its own. What another copy of the directory has made says so, and is restored by its
name alone. gabion backups show shows one.`,
		Example: `  gabion backups --dir DIR
  gabion backups show tasks/42 --dir DIR`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return at.open(cmd.Context(), ops.OpenOptions{Alone: true}, func(g *ops.Session) error {
				list, err := g.ListBackups(cmd.Context())
				if err != nil {
					return err
				}
				if out.json {
					err = out.message(list)
				} else {
					err = printBackups(out, list, time.Now())
				}
				return errors.Join(err, unlisted(list))
			})
		},
	}
	at.addFlags(cmd)
	cmd.AddCommand(newBackupsShow(out))
	return cmd
}

// unlisted returns an errPartial that names what the list lacks, nil where it lacks nothing.
func unlisted(list *messages.BackupList) error {
	var faults []error
	for _, f := range list.GetFaults() {
		faults = append(faults, messages.WithHint(partialError(f.Error()), f.GetHint()))
	}
	return errors.Join(faults...)
}

func printBackups(out *output, list *messages.BackupList, now time.Time) error {
	var sets [][]string
	for i, set := range list.GetSets() {
		var status *messages.SetStatus
		if i < len(list.GetSetStatus()) { // an older server sends none
			status = list.GetSetStatus()[i]
		}
		sets = append(sets, []string{
			set.GetRunId(), show.Past(now, set.GetFinished()),
			strconv.Itoa(len(set.GetResults())), setStatus(status, len(set.GetResults())), set.GetLabel(),
		})
	}
	if err := out.table("", []string{"SET", "AGE", "TABLES", "STATUS", "LABEL"}, sets); err != nil {
		return err
	}
	if err := out.printf("\n"); err != nil {
		return err
	}
	var backups [][]string
	for _, b := range list.GetBackups() {
		read := b.Knows(messages.Figure_FIGURE_MANIFEST)
		backups = append(backups, []string{
			b.GetTable(), b.GetBackupId(), show.Known(read, strconv.FormatUint(b.GetCount(), 10)),
			show.Known(read, show.Size(b.GetBytes())), optionalSize(b.OwnBytes), optionalSize(b.SharedBytes),
			show.Known(read, show.Past(now, b.GetFinished())), show.Known(read, b.GetRunId()), b.GetLabel(), b.GetPinned(), proofText(b, now), retention(b), faultText(b),
		})
	}
	return out.table("", []string{"TABLE", "BACKUP", "ROWS", "SIZE", "OWN", "SHARED", "AGE", "RUN", "LABEL", "PIN", "PROOF", "RETENTION", "FAULT"}, backups)
}

// otherCopy is said of what another copy of the directory has made, or may have made.
const otherCopy = "made by another copy of this directory"

// faultText is why a backup must not be used, or must be meant by whoever names it. Empty otherwise.
func faultText(b *messages.BackupInfo) string {
	if b.GetOtherCopy() && b.GetFault() == "" {
		return otherCopy
	}
	return b.GetFault()
}

// retention is what retention makes of a backup, empty where the rules are not known.
func retention(b *messages.BackupInfo) string {
	reasons := strings.Join(b.GetReasons(), "; ")
	if b.GetGoes() {
		return "goes: " + reasons
	}
	return reasons
}

// optionalSize is size, or - where the disk did not tell.
func optionalSize(n *int64) string {
	if n == nil {
		return "-"
	}
	return show.Size(*n)
}

// ranStatus is what became of a set in its run, whatever retention did since.
func ranStatus(set *messages.BackupSet) *messages.SetStatus {
	status := &messages.SetStatus{}
	for _, result := range set.GetResults() {
		if result.GetOutcome() == messages.Outcome_OUTCOME_FAILED {
			status.Failed = append(status.Failed, result.GetTable())
		}
	}
	return status
}

// setStatus says what is left of a set with so many tables.
func setStatus(status *messages.SetStatus, tables int) string {
	var texts []string
	if status.GetOtherCopy() {
		texts = append(texts, otherCopy)
	}
	if failed := status.GetFailed(); len(failed) > 0 {
		texts = append(texts, "partial: failed "+strings.Join(failed, ", "))
	}
	if gone := status.GetGone(); len(gone) > 0 {
		texts = append(texts, fmt.Sprintf("thinned: %d of %d left, gone %s",
			tables-len(status.GetFailed())-len(gone), tables, strings.Join(gone, ", ")))
	}
	if unread := status.GetUnread(); len(unread) > 0 {
		texts = append(texts, "unknown: cannot read the manifest of "+strings.Join(unread, ", "))
	}
	switch {
	case len(texts) > 0:
		return strings.Join(texts, "; ")
	case status == nil:
		return "-"
	}
	return "complete"
}

// proofText is the verdict on a backup, and how old it is; - before the first, unknown where the proofs cannot be read.
func proofText(b *messages.BackupInfo, now time.Time) string {
	switch {
	case !b.Knows(messages.Figure_FIGURE_PROOF):
		return show.Unknown
	case b.GetProof() == nil:
		return "-"
	}
	return verdictName(b.GetProof()) + " " + show.Past(now, b.GetProof().GetFinished())
}
