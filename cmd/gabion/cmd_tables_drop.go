package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

func newTablesDrop(out *output) *cobra.Command {
	var at place
	var m messages.DropTable
	cmd := &cobra.Command{
		Use:   "drop TABLE",
		Short: "Back up a table a last time and take it out of service",
		Long: `Back up a table a last time, with a pin, and take it out of service. Its data is kept as undo for as long as the
configuration says, 7 days by default; gabion health shows until when. If the backup fails the table stays, unless
--without-backup says that none is wanted.`,
		Example: "  gabion tables drop tasks --dir DIR",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.Table = args[0]
			if err := messages.CheckTableName(m.Table); err != nil {
				return err
			}
			return at.open(cmd.Context(), ops.OpenOptions{Tables: args, Write: true}, func(s *ops.Session) error {
				if err := s.Drop(cmd.Context(), &m); err != nil {
					return err
				}
				if out.json {
					return out.message(&messages.TableList{})
				}
				return out.printf("table %s is dropped; gabion health shows until when its data is kept\n", m.GetTable())
			})
		},
	}
	at.addFlags(cmd)
	at.completeTables(cmd, 1)
	cmd.Flags().BoolVar(&m.WithoutBackup, "without-backup", false, "drop it without a last backup")
	return cmd
}
