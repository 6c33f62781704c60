package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

func newTablesRetry(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "retry TABLE",
		Short: "Open a quarantined table again in a running server",
		Long: `Open a table that is quarantined, or waits for its next try, at once, and wait until it serves or has said why not.
No loss of data is accepted: a table that lost some is quarantined again.`,
		Example: "  gabion tables retry tasks --dir DIR",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return at.dial(cmd.Context(), "without a server no table is open or closed", func(c *ops.Client) error {
				if err := c.RetryTable(cmd.Context(), args[0]); err != nil {
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
