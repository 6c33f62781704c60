package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

func newTablesCreate(out *output) *cobra.Command {
	var at place
	var createEmpty bool
	cmd := &cobra.Command{
		Use:   "create TABLE",
		Short: "Make an empty table",
		Long: `Make an empty table. gabion serve serves it, at once where it runs. A host that embeds Gabion serves it after
its next start only if its configuration names it. A name that backups know, or that was dropped, is refused unless --create-empty says so.`,
		Example: "  gabion tables create tasks --dir DIR",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return at.open(cmd.Context(), ops.OpenOptions{Write: true}, func(s *ops.Session) error {
				if err := s.CreateTable(cmd.Context(), args[0], createEmpty); err != nil {
					return err
				}
				return printTable(cmd.Context(), out, s, args[0])
			})
		},
	}
	at.addFlags(cmd)
	cmd.Flags().BoolVar(&createEmpty, "create-empty", false, "make it though backups know it, or it was dropped")
	return cmd
}
