package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError makes a usage error of what pflag says of the command line args, in words of ours, with the remedy as its hint.
func flagError(cmd *cobra.Command, args []string, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return unknownFlag(cmd, args, "--"+unknown.GetSpecifiedName(), err)
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return usagef(valueHint(f, invalid), "--%s is %q", f.Name, invalid.GetValue())
	}
	return usagef(cmd.CommandPath()+" --help lists the flags", "%w", err)
}

// valueHint says what a flag takes that got something else.
func valueHint(f *pflag.Flag, err error) string {
	if errors.Is(err, strconv.ErrRange) {
		return "write a number nearer to 0"
	}
	switch f.Value.Type() {
	case "bool":
		return fmt.Sprintf("write --%s alone, or --%s=false", f.Name, f.Name)
	case "uint", "uint64":
		return "write a whole number, 0 or more"
	case "int":
		return "write a whole number"
	case "float64":
		return "write a number, as in 2.5"
	}
	return "write names, with a comma between two"
}

// unknownFlag names what may have been meant. Where a command was misspelled its flags are known to nobody, and that is what is
// wrong.
func unknownFlag(cmd *cobra.Command, args []string, flag string, err error) error {
	hint := cmd.CommandPath() + " --help lists the flags"
	if cmd.HasAvailableSubCommands() {
		if word := firstWord(cmd, args); word != "" {
			return unknownCommand(cmd, word)
		}
		if owner := ownerOf(cmd, flag[2:]); owner != nil {
			return usagef(fmt.Sprintf("%s is a flag of commands: %s %s", flag, owner.CommandPath(), flag), "no command given")
		}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	meant := closest(flag, names)
	if len(meant) == 0 {
		// Some programs have flags where this one has commands: --version.
		meant = closest(flag[2:], commandNames(cmd.Root()))
	}
	return usagef(suggestion(meant, hint), "%w", err)
}

// firstWord is the first argument that stands for a command: it follows the names of cmd, and the flags. Each flag is
// taken to have a value.
func firstWord(cmd *cobra.Command, args []string) string {
	parents := strings.Fields(cmd.CommandPath())[1:]
	for i := 0; i < len(args); i++ {
		switch {
		case strings.HasPrefix(args[i], "-"):
			known := cmd.Flags().Lookup(strings.TrimLeft(args[i], "-"))
			if !strings.Contains(args[i], "=") && (known == nil || known.NoOptDefVal == "") {
				i++
			}
		case len(parents) > 0 && args[i] == parents[0]:
			parents = parents[1:]
		default:
			return args[i]
		}
	}
	return ""
}

// ownerOf is the first command below cmd that has the flag, nil where none has.
func ownerOf(cmd *cobra.Command, flag string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Flags().Lookup(flag) != nil {
			return sub
		}
	}
	return nil
}

// asksJSON tells whether a command line that was perhaps not understood asks for JSON.
func asksJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		value, ok := strings.CutPrefix(arg, "--json=")
		on, err := strconv.ParseBool(value)
		return arg == "--json" || ok && err == nil && on
	})
}
