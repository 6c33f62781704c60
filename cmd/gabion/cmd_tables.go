package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

func newTables(out *output) *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:     "tables",
		Short:   "List the tables and their states",
		Example: "  gabion tables --dir DIR",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return at.read(cmd.Context(), nil, func(g *ops.Session) error {
				infos, err := g.ListTables(cmd.Context())
				if err != nil {
					return err
				}
				if out.json {
					return out.message(&messages.TableList{Tables: infos})
				}
				return printTables(out, infos)
			})
		},
	}
	at.addFlags(cmd)
	return cmd
}

func printTables(out *output, infos []*messages.TableInfo) error {
	var rows [][]string
	for _, info := range infos {
		lineage, seq := "-", "-"
		if position := info.GetPosition(); position != nil {
			lineage, seq = shortLineage(position.GetLineage()), strconv.FormatUint(position.GetSeq(), 10)
		}
		rows = append(rows, []string{info.GetTable(), stateName(info.GetState()), lineage, seq, info.GetReason()})
	}
	return out.table("", []string{"TABLE", "STATE", "LINEAGE", "SEQ", "REASON"}, rows)
}
