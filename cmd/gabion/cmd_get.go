package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

func newGet(out *output) *cobra.Command {
	var at place
	var from fromBackup
	cmd := &cobra.Command{
		Use:   "get TABLE KEY",
		Short: "Print the value of a key",
		Long: `Print the value of a key, byte for byte; on a terminal a newline follows one that has none. With --json it is an object with
key and value, or key_base64 and value_base64 where they are not valid UTF-8.

` + keySyntax,
		Example: "  gabion get agentcom_config demo/input --dir DIR\n  gabion get message_history hex:00ff --dir DIR",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[1])
			if err != nil {
				return err
			}
			return at.readFrom(cmd.Context(), args[0], from, func(t ops.ReadAccess) error {
				value, err := t.Get(cmd.Context(), key)
				if err != nil {
					return err
				}
				return printValue(out, key, value)
			})
		},
	}
	at.addFlags(cmd)
	from.addFlags(cmd)
	at.completeTables(cmd, 1)
	return cmd
}

func printValue(out *output, key, value []byte) error {
	if out.json {
		return out.line(newEntry(key, value))
	}
	if out.terminal && !bytes.HasSuffix(value, []byte("\n")) {
		value = append(value, '\n')
	}
	_, err := out.Write(value)
	return err
}
