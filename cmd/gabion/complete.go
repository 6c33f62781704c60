package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
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
		var names []string
		p.complete(cmd, func(ctx context.Context, s *ops.Session) error {
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

// completeBackups is completeTables for one argument TABLE/BACKUP.
func (p *place) completeBackups(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		p.complete(cmd, func(ctx context.Context, s *ops.Session) error {
			list, err := s.ListBackups(ctx)
			for _, b := range list.GetBackups() {
				names = append(names, cobra.CompletionWithDesc(b.GetTable()+"/"+b.GetBackupId(), show.Plural(int(b.GetCount()), "row")))
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// complete asks the directory for what there is. Who completes wants no complaint.
func (p *place) complete(cmd *cobra.Command, ask func(context.Context, *ops.Session) error) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	_ = p.read(ctx, nil, func(s *ops.Session) error { return ask(ctx, s) })
}
