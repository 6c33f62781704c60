package main

import (
	"github.com/spf13/cobra"
)

func newConfigShow(out *output) *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the effective configuration, and where each value came from",
		Long: `Show what gabion serve with the same flags, environment and file would run by, and where each value came from:
a flag, a variable, a line of the file, or the default; and which other source it beats. Of interval and cron the one from the
stronger source counts.`,
		Example: "  gabion config show --config /etc/gabion.yaml",
		Args:    exactly(0),
		RunE: func(*cobra.Command, []string) error {
			config, err := flags.load()
			if err != nil {
				return err
			}
			if out.json {
				return out.line(config.Values())
			}
			var rows [][]string
			for _, v := range config.Values() {
				text := v.Text
				if text == "" {
					text = "-"
				}
				source := v.Source
				if v.Beats != "" {
					source += "; beats " + v.Beats
				}
				rows = append(rows, []string{v.Key, text, source})
			}
			return out.table("", []string{"KEY", "VALUE", "FROM"}, rows)
		},
	}
	flags.addFlags(cmd)
	return cmd
}
