package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

func newExport(out *output) *cobra.Command {
	var at place
	var from fromBackup
	var flags scanFlags
	cmd := &cobra.Command{
		Use:   "export TABLE",
		Short: "Print all rows of a table as JSON Lines",
		Long: `Print all rows of a table, as of one instant, as JSON Lines: {"key":"...","value":"..."}. A key or value that
is not valid UTF-8 is given as key_base64 or value_base64 instead.`,
		Example: "  gabion export message_history --dir DIR | gzip >message_history.jsonl.gz",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := flags.message()
			if err != nil {
				return err
			}
			return at.readFrom(cmd.Context(), args[0], from, func(t ops.ReadAccess) error {
				return t.Walk(cmd.Context(), m, func(key, value []byte) error { return out.line(newEntry(key, value)) })
			})
		},
	}
	at.addFlags(cmd)
	from.addFlags(cmd)
	at.completeTables(cmd, 1)
	cmd.Flags().StringVar(&flags.prefix, "prefix", "", "print only keys that begin with `KEY`")
	return cmd
}
