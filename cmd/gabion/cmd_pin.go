package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newPin(out *output) *cobra.Command {
	var at place
	var m messages.PinBackup
	cmd := &cobra.Command{
		Use:   "pin TABLE/BACKUP",
		Short: "Keep a backup from retention until its pin is removed",
		Long: `Keep a backup from retention until its pin is removed with --remove. BACKUP is the name that gabion backups prints,
or the number before its underscore. A backup that is pinned already keeps the reason it has.`,
		Example: `  gabion pin tasks/42 --reason "before the migration" --dir DIR
  gabion pin tasks/42 --remove --dir DIR`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if m.Table, m.BackupId, err = parseBackup(args[0]); err != nil {
				return err
			}
			if bad := m.Check(); bad != nil {
				return bad
			}
			return at.open(cmd.Context(), ops.OpenOptions{Backups: true}, func(s *ops.Session) error {
				info, err := s.PinBackup(cmd.Context(), &m)
				if err != nil {
					return err
				}
				if out.json {
					return out.message(info)
				}
				name := info.GetTable() + "/" + info.GetBackupId()
				if info.GetPinned() == "" {
					return out.printf("%s has no pin: retention may remove it\n", name)
				}
				return out.printf("%s is pinned: %s\n", name, show.Printable(info.GetPinned()))
			})
		},
	}
	at.addFlags(cmd)
	at.completeBackups(cmd)
	cmd.Flags().StringVar(&m.Reason, "reason", "", "keep `TEXT` with the pin, for people")
	cmd.Flags().BoolVar(&m.Unpin, "remove", false, "remove the pin")
	return cmd
}
