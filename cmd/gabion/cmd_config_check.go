package main

import (
	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

func newConfigCheck(out *output) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file",
		Long: `Check a configuration file: unknown keys, values that cannot be read or are out of bounds. Every fault is told
with its line. Flags and the environment count for nothing, and no directory is looked at. The exit code is 2
when something is wrong; what is valid and most likely a slip is a warning.`,
		Example: "  gabion config check /etc/gabion.yaml",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := ops.LoadConfig(ops.Sources{File: args[0]})
			if err != nil {
				return err
			}
			for _, warning := range config.Warnings() {
				out.note(cmd.ErrOrStderr(), "warning", args[0]+": "+warning)
			}
			if out.json {
				return out.line(config.Values())
			}
			return out.printf("%s is valid\n", args[0])
		},
	}
}
