package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

func newTablesOpen(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "open TABLE",
		Short: "Open a closed table in a running server",
		Long: `Open a table that was closed, or that lies in the directory without being configured, and wait until it serves or
has said why not.`,
		Example: "  gabion tables open tasks --dir DIR",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return at.dial(cmd.Context(), "without a server no table is open or closed", func(c *ops.Client) error {
				if err := c.OpenTable(cmd.Context(), args[0]); err != nil {
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
