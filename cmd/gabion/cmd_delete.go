package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

func newDelete(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "delete TABLE KEY",
		Short: "Remove a key and its value",
		Long: `Remove a key and its value, and print the table's seq once that is durable. A key that is not there is no error.

` + keySyntax,
		Example: "  gabion delete tasks 17 --dir DIR",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[1])
			if err != nil {
				return err
			}
			if bad := (&messages.Delete{Key: key}).Check(); bad != nil {
				return bad
			}
			return at.writeTable(cmd.Context(), args[0], func(t ops.TableAccess) error {
				seq, err := t.Delete(cmd.Context(), key)
				return printCommitted(out, seq, err)
			})
		},
	}
	at.addFlags(cmd)
	at.completeTables(cmd, 1)
	return cmd
}
