package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
	"github.com/gabiondb/gabion/ops/show"
)

// errLimit ends a walk at --limit.
var errLimit = errors.New("limit reached")

// scanFlags are those of scan and, in part, of export.
type scanFlags struct {
	prefix, start, end string
	limit              uint
	reverse            bool
}

// message is the scan that the flags ask for.
func (f scanFlags) message() (*messages.Scan, error) {
	m := &messages.Scan{Reverse: f.reverse}
	var errs []error
	for _, bound := range []struct {
		arg string
		to  *[]byte
	}{{f.prefix, &m.Prefix}, {f.start, &m.Start}, {f.end, &m.End}} {
		key, err := parseKey(bound.arg)
		*bound.to = key
		errs = append(errs, err)
	}
	if bad := m.Check(); bad != nil {
		errs = append(errs, bad)
	}
	return m, errors.Join(errs...)
}

func newScan(out *output) *cobra.Command {
	var at place
	var from fromBackup
	var flags scanFlags
	cmd := &cobra.Command{
		Use:   "scan TABLE",
		Short: "Print the rows of a table in key order",
		Long: `Print the rows of a table in key order, each as key, tab, value. A key that is not valid UTF-8 or holds control
characters is printed as hex:..., as the other commands take it; such a value is quoted as in Go. With --json each row
is an object on a line of its own, as in gabion export.

` + keySyntax,
		Example: "  gabion scan channel_history --prefix admin/ --limit 5 --dir DIR",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := flags.message()
			if err != nil {
				return err
			}
			return at.readFrom(cmd.Context(), args[0], from, func(t ops.ReadAccess) error {
				return scan(cmd.Context(), t, m, flags.limit, out, cmd.ErrOrStderr())
			})
		},
	}
	at.addFlags(cmd)
	from.addFlags(cmd)
	at.completeTables(cmd, 1)
	cmd.Flags().StringVar(&flags.prefix, "prefix", "", "print only keys that begin with `KEY`")
	cmd.Flags().StringVar(&flags.start, "start", "", "begin at `KEY`, inclusive")
	cmd.Flags().StringVar(&flags.end, "end", "", "end before `KEY`")
	cmd.Flags().UintVar(&flags.limit, "limit", 100, "print at most `N` rows; 0 prints all")
	cmd.Flags().BoolVar(&flags.reverse, "reverse", false, "print the last row first")
	return cmd
}

// scan prints the rows of m up to limit, and says on notes whether more follow.
func scan(ctx context.Context, t ops.ReadAccess, m *messages.Scan, limit uint, out *output, notes io.Writer) error {
	var rows uint
	err := t.Walk(ctx, m, func(key, value []byte) error {
		if limit > 0 && rows == limit {
			return errLimit
		}
		rows++
		if out.json {
			return out.line(newEntry(key, value))
		}
		return out.printf("%s\t%s\n", show.Key(key), show.Printable(string(value)))
	})
	if errors.Is(err, errLimit) {
		out.note(notes, "note", fmt.Sprintf("more rows follow the first %d: raise --limit", limit))
		return nil
	}
	return err
}
