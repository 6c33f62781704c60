package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
)

// completeTimeout bounds how long the shell waits for the names of tables.
const completeTimeout = 2 * time.Second

// completeTables has the shell complete the arguments of cmd, up to most of them, with the names of the tables in the
// directory. Where it is not given, or held by a host without a socket, there is nothing to complete.
func (p *place) completeTables(cmd *cobra.Command, most int) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveDefault
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		var names []string
		_ = p.read(ctx, nil, func(s *ops.Session) error {
			infos, err := s.ListTables(ctx)
			for _, info := range infos {
				if !slices.Contains(args, info.GetTable()) {
					names = append(names, info.GetTable())
				}
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
