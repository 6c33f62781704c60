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
	var list, red bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two backups, or a backup and the live table",
		Long: `Compare two backups, or a backup and the live table, row by row, and print how many rows B has that A has not (added),
has with another value (changed), and has not (removed). A and B are each a table as it is now, or TABLE/BACKUP. With --list
each row that differs is printed: + added, ~ changed, - removed.`,
		Example: `  gabion diff tasks/41 tasks/42 --dir DIR
  gabion diff tasks/42 tasks --list --dir DIR`,
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
			return at.read(cmd.Context(), live, func(s *ops.Session) error {
				return diff(cmd.Context(), s, args[0], args[1], list, red, out)
			})
		},
	}
	at.addFlags(cmd)
	cmd.Flags().BoolVar(&list, "list", false, "print every row that differs")
	cmd.Flags().BoolVar(&red, "red", false, "read a backup even if it is red, as far as it can be read")
	return cmd
}

// differing is a line of diff --list --json.
type differing struct {
	entry
	Change string `json:"change"`
}

func diff(ctx context.Context, s *ops.Session, from, to string, list, red bool, out *output) (err error) {
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
	each := func(c ops.Change) error {
		sign, name, value := "~", "changed", c.New.GetValue()
		switch {
		case c.Old == nil:
			sign, name = "+", "added"
		case c.New == nil:
			sign, name, value = "-", "removed", c.Old.GetValue()
		}
		if out.json {
			return out.line(differing{newEntry(c.Key, value), name})
		}
		return out.printf("%s %s\n", sign, show.Key(c.Key))
	}
	if !list {
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
