package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newBackupsShow(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "show TABLE/BACKUP",
		Short: "Show what one backup holds",
		Long: `Show what one backup holds: where it lies, which state of the table it is, and its files with their hashes. BACKUP
is the name that gabion backups prints, or the number before its underscore.`,
		Example: "  gabion backups show tasks/42 --dir DIR",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			table, id, err := parseBackup(args[0])
			if err != nil {
				return err
			}
			return at.open(cmd.Context(), ops.OpenOptions{Alone: true}, func(s *ops.Session) error {
				detail, err := s.ShowBackup(cmd.Context(), table, id)
				if err != nil {
					return err
				}
				if out.json {
					return out.message(detail)
				}
				return printBackup(out, detail, time.Now())
			})
		},
	}
	at.addFlags(cmd)
	at.completeBackups(cmd)
	return cmd
}

func printBackup(out *output, detail *messages.BackupDetail, now time.Time) error {
	b, record := detail.GetBackup(), detail.GetManifest().GetRecord()
	lines := [][2]string{
		{"backup", b.GetTable() + "/" + b.GetBackupId()},
		{"path", detail.GetPath()},
		{"fault", faultText(b)},
		{"pinned", b.GetPinned()},
		{"retention", retention(b)},
		{"proof", proofText(b, now)},
		{"red", redReason(b)},
		{"label", b.GetLabel()},
		{"run", b.GetRunId()},
	}
	if detail.GetManifest() != nil {
		lines = append(lines, [][2]string{
			{"finished", b.GetFinished().AsTime().Format(time.RFC3339) + ", " + show.Past(now, b.GetFinished())},
			{"lineage", record.GetPosition().GetLineage()},
			{"seq", strconv.FormatUint(record.GetPosition().GetSeq(), 10)},
			{"rows", strconv.FormatUint(record.GetCount(), 10)},
			{"live", show.Size(record.GetLiveBytes())},
			{"size", show.Size(b.GetBytes())},
			{"own", optionalSize(b.OwnBytes)},
			{"shared", optionalSize(b.SharedBytes)},
			{"manifest", detail.GetManifestSha256()},
		}...)
	}
	if err := printLines(out, lines); err != nil {
		return err
	}
	if detail.GetManifest() == nil {
		return nil
	}
	var rows [][]string
	for _, f := range detail.GetManifest().GetFiles() {
		rows = append(rows, []string{f.GetName(), show.Size(f.GetSize()), f.GetSha256()})
	}
	if err := out.printf("\n"); err != nil {
		return err
	}
	return out.table("", []string{"FILE", "SIZE", "SHA256"}, rows)
}

// redReason says why a backup is red.
func redReason(b *messages.BackupInfo) string {
	if b.GetProof().GetVerdict() != messages.Verdict_VERDICT_RED {
		return ""
	}
	if with := b.GetProof().GetSharedWith(); with != "" {
		return b.GetProof().GetReason() + "; it shares the file with " + with
	}
	return b.GetProof().GetReason()
}
