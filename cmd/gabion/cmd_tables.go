package main

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newTables(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "tables",
		Short: "List the tables and their states, or change one's",
		Long: `List the tables and their states: those that are served, and those that lie in the directory without being
configured. The commands below change the state of one.`,
		Example: `  gabion tables --dir DIR
  gabion tables retry tasks --dir DIR`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return at.read(cmd.Context(), nil, func(g *ops.Session) error {
				infos, unlisted := g.ListTables(cmd.Context())
				if len(infos) == 0 && unlisted != nil {
					return unlisted
				}
				list := &messages.TableList{Tables: infos}
				if unlisted != nil {
					list.Faults = []*messages.Failure{messages.FailureOf(unlisted)}
					unlisted = messages.WithHint(partialError(unlisted.Error()), "tables that lie on disk may be missing from the list")
				}
				if out.json {
					return errors.Join(out.message(list), unlisted)
				}
				return errors.Join(printTables(out, infos), unlisted)
			})
		},
	}
	at.addFlags(cmd)
	cmd.AddCommand(newTablesCreate(out), newTablesDrop(out), newTablesOpen(out), newTablesClose(out), newTablesRetry(out))
	return cmd
}

// printTable prints what became of one table.
func printTable(ctx context.Context, out *output, s ops.Access, table string) error {
	infos, err := s.ListTables(ctx)
	infos = slices.DeleteFunc(infos, func(info *messages.TableInfo) bool { return info.GetTable() != table })
	if err != nil && len(infos) == 0 {
		return err
	}
	if out.json {
		return out.message(&messages.TableList{Tables: infos})
	}
	return printTables(out, infos)
}

func printTables(out *output, infos []*messages.TableInfo) error {
	var rows [][]string
	for _, info := range infos {
		lineage, seq := "-", "-"
		if position := info.GetPosition(); position != nil {
			lineage, seq = show.ShortLineage(position.GetLineage()), strconv.FormatUint(position.GetSeq(), 10)
		}
		rows = append(rows, []string{info.GetTable(), show.State(info.GetState()), lineage, seq, info.GetReason()})
	}
	return out.table("", []string{"TABLE", "STATE", "LINEAGE", "SEQ", "REASON"}, rows)
}
