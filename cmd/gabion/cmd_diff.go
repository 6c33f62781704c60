package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

func newDiff(out *output) *cobra.Command {
	var at place
	var summary, red bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two backups, or a backup and the live table",
		Long: `Compare two backups, or a backup and the live table, row by row, and print each row that differs: + key, tab, value of
one that B alone has (added), - of one that A alone has (removed), ~ key, tab, value in A, tab, value in B of one that
differs (changed). The last line counts them; with --summary it is all that is printed. A and B are each a table as it is
now, or TABLE/BACKUP.`,
		Example: `  gabion diff tasks/41 tasks/42 --dir DIR
  gabion diff tasks/42 tasks --summary --dir DIR`,
		Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var live []string
			for _, arg := range args {
				table, _, isBackup := strings.Cut(arg, "/")
				if isBackup {
					if _, _, err := parseBackup(arg); err != nil {
						return err
					}
				} else if !slices.Contains(live, table) {
					live = append(live, table)
				}
				if err := messages.CheckTableName(table); err != nil {
					return err
				}
			}
			if red && !strings.Contains(args[0]+args[1], "/") {
				return usagef("name a backup, as in tasks/42, or leave --red out", "--red is about a backup, and none is named")
			}
			return at.open(cmd.Context(), ops.OpenOptions{Tables: live, Alone: len(live) == 0}, func(s *ops.Session) error {
				return diff(cmd.Context(), s, args[0], args[1], summary, red, out)
			})
		},
	}
	at.addFlags(cmd)
	cmd.Flags().BoolVar(&summary, "summary", false, "print the counts alone")
	cmd.Flags().BoolVar(&red, "red", false, "read a backup even if it is red, as far as it can be read")
	return cmd
}

// differing is a line of diff --json. The old value is that of a row that has changed.
type differing struct {
	entry
	OldValue       *string `json:"old_value,omitempty"`
	OldValueBase64 []byte  `json:"old_value_base64,omitempty"`
	Change         string  `json:"change"`
}

func diff(ctx context.Context, s *ops.Session, from, to string, summary, red bool, out *output) (err error) {
	a, closeA, err := openRows(ctx, s, from, red)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeA()) }()
	b, closeB, err := openRows(ctx, s, to, red)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeB()) }()
	each := func(c ops.Change) error { return printChange(out, c) }
	if summary {
		each = nil
	}
	d, err := ops.Diff(ctx, a, b, each)
	if err != nil {
		return err
	}
	if out.json {
		return out.line(map[string]uint64{"added": d.Added, "changed": d.Changed, "removed": d.Removed, "same": d.Same})
	}
	return out.printf("%d added, %d changed, %d removed, %d the same\n", d.Added, d.Changed, d.Removed, d.Same)
}

// printChange prints a row that differs.
func printChange(out *output, c ops.Change) error {
	sign, name, value := "~", "changed", c.New.GetValue()
	switch {
	case c.Old == nil:
		sign, name = "+", "added"
	case c.New == nil:
		sign, name, value = "-", "removed", c.Old.GetValue()
	}
	changed := sign == "~"
	if out.json {
		row := differing{entry: newEntry(c.Key, value), Change: name}
		if changed {
			old := newEntry(nil, c.Old.GetValue())
			row.OldValue, row.OldValueBase64 = old.Value, old.ValueBase64
		}
		return out.line(row)
	}
	values := show.Printable(string(value))
	if changed {
		values = show.Printable(string(c.Old.GetValue())) + "\t" + values
	}
	return out.printf("%s %s\t%s\n", sign, show.Key(c.Key), values)
}

// openRows opens a table, or a backup, for reading.
func openRows(ctx context.Context, s *ops.Session, name string, red bool) (ops.ReadAccess, func() error, error) {
	if !strings.Contains(name, "/") {
		return s.Table(name), func() error { return nil }, nil
	}
	table, id, err := parseBackup(name)
	if err != nil {
		return nil, nil, err
	}
	return s.OpenBackup(ctx, table, id, red)
}
