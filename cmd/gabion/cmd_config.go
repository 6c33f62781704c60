package main

import (
	"github.com/spf13/cobra"
)

func newConfig(out *output) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config COMMAND",
		Short: "Check and show the configuration of gabion serve",
		Long: `Check and show the configuration of gabion serve. A flag beats the environment (GABION_DIR, GABION_LOG_FORMAT,
...), which beats the file, which beats the default. docs/config.md lists every key.`,
		Example: `  gabion config check /etc/gabion.yaml
  gabion config show --config /etc/gabion.yaml --keep 7`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("gabion config check FILE checks a file", "no command given")
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(newConfigCheck(out), newConfigShow(out))
	return cmd
}
