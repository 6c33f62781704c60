package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

func newTablesClose(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "close TABLE",
		Short: "Close a table in a running server",
		Long: `Commit and answer what a table has accepted, and close it. Its requests get UNAVAILABLE until it is opened, or the
server starts again.`,
		Example: "  gabion tables close tasks --dir DIR",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return at.dial(cmd.Context(), "without a server no table is open or closed", func(c *ops.Client) error {
				if err := c.CloseTable(cmd.Context(), args[0]); err != nil {
					return err
				}
				return printTable(cmd.Context(), out, c, args[0])
			})
		},
	}
	at.addFlags(cmd)
	at.completeTables(cmd, 1)
	return cmd
}
