package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

func newPut(out *output) *cobra.Command {
	var at place
	var file string
	cmd := &cobra.Command{
		Use:   "put TABLE KEY [VALUE]",
		Short: "Store a value under a key",
		Long: `Store a value under a key, in a table that there is, and print the table's seq once it is durable. A value is
written as a key is, or read byte for byte from --file, - for standard input.

` + keySyntax,
		Example: "  gabion put tasks 17 'water the plants' --dir DIR\n  gabion put images logo --file logo.png --dir DIR",
		Args: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return exactlyFor("TABLE KEY with --file", 2)(cmd, args)
			}
			return exactlyFor("TABLE KEY VALUE", 3)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseKey(args[1])
			if err != nil {
				return err
			}
			var value []byte
			if file != "" {
				value, err = readValue(file, cmd.InOrStdin())
			} else {
				value, err = parseKey(args[2])
			}
			if err != nil {
				return err
			}
			if bad := (&messages.Put{Key: key, Value: value}).Check(); bad != nil {
				return bad
			}
			return at.writeTable(cmd.Context(), args[0], func(t ops.TableAccess) error {
				seq, err := t.Put(cmd.Context(), key, value)
				return printCommitted(out, seq, err)
			})
		},
	}
	at.addFlags(cmd)
	at.completeTables(cmd, 1)
	cmd.Flags().StringVar(&file, "file", "", "read the value from `FILE`; - is standard input")
	return cmd
}

// readValue reads no more than a value may have, and one byte.
func readValue(path string, stdin io.Reader) ([]byte, error) {
	from := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read value: %w", err)
		}
		defer f.Close()
		from = f
	}
	value, err := io.ReadAll(io.LimitReader(from, messages.MaxValue+1))
	if err != nil {
		return nil, fmt.Errorf("read value: %w", err)
	}
	return value, nil
}

// printCommitted prints what a write answered.
func printCommitted(out *output, seq uint64, err error) error {
	if err != nil {
		return err
	}
	if out.json {
		return out.message(&messages.Committed{Seq: seq})
	}
	return out.printf("seq %d\n", seq)
}
