package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gabiondb/gabion/ops/show"
)

// newRoot makes the command tree, whose results go to out.
func newRoot(out *output) *cobra.Command {
	root := &cobra.Command{
		Use:   "gabion COMMAND [FLAGS]",
		Short: "Durable tables that back themselves up",
		Example: `  gabion demo
  gabion serve --dir DIR --tables tasks,mailbox
  gabion health --dir DIR`,
		Long: `Gabion gives an actor system durable tables which back themselves up. This program shows what it does
(gabion demo), serves tables (gabion serve), and asks and
changes what a directory holds: through the server that holds it, or in place where there is none.`,
		Args:          cobra.ArbitraryArgs, // so that we may name the closest command ourselves
		SilenceErrors: true,
		SilenceUsage:  true,
		// Otherwise the usage line would end in a "[flags]" of cobra's.
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("gabion demo shows what it does", "no command given")
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetHelpCommand(newHelp())
	root.PersistentFlags().BoolVar(&out.json, "json", false, "print JSON")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]{{end}}", ""))
	root.SetHelpTemplate(`{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}
` + exitCodes)
	root.AddCommand(
		newDemo(out),
		newServe(out),
		newConfig(out),
		newTables(out),
		newGet(out),
		newPut(out),
		newDelete(out),
		newScan(out),
		newImport(out),
		newExport(out),
		newHealth(out),
		newBackup(out),
		newBackups(out),
		newVerify(out),
		newRestore(out),
		newDiff(out),
		newPrune(out),
		newPin(out),
		newEvents(out),
		newBench(out),
		newVersion(out),
	)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args = cobra.ArbitraryArgs
		completion.RunE = func(cmd *cobra.Command, args []string) error {
			const hint = "bash, zsh, fish and powershell are known: gabion completion bash"
			if len(args) == 0 {
				return usagef(hint, "no shell given")
			}
			return usagef(hint, "unknown shell %q", args[0])
		}
	}
	return root
}

// newHelp is cobra's help command, but for a name that it does not know.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(cmd.Root(), rest[0])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

func unknownCommand(root *cobra.Command, name string) error {
	return usagef(suggestion(closest(name, commandNames(root)), root.CommandPath()+" --help lists the commands"),
		"unknown command %q", name)
}

func commandNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return names
}

// closest returns the candidates that name may have been meant for, as cobra judges it.
func closest(name string, candidates []string) []string {
	judge := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, candidate := range candidates {
		judge.AddCommand(&cobra.Command{Use: candidate, Run: func(*cobra.Command, []string) {}})
	}
	return judge.SuggestionsFor(name)
}

// suggestion is a hint that names the candidates, or otherwise when there are none.
func suggestion(candidates []string, otherwise string) string {
	if len(candidates) == 0 {
		return otherwise
	}
	return fmt.Sprintf("did you mean %s?", strings.Join(candidates, " or "))
}

// exactly is for a command whose arguments are those of its Use line.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		// The Use line names the command, then its arguments in capitals.
		want := strings.Join(strings.Fields(cmd.Use)[1:], " ")
		if want == "" {
			want = "no arguments"
		}
		return exactlyFor(want, n)(cmd, args)
	}
}

// atMost is exactly for a command with a last argument that may be left out.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return exactly(n)(cmd, args)
	}
}

// nonEmpty refuses flags that were given without a value: a variable of a script that is not set must not turn a command into
// another one.
func nonEmpty(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		f := cmd.Flags().Lookup(name)
		list, ok := f.Value.(pflag.SliceValue)
		if empty := f.Value.String() == "" || ok && len(list.GetSlice()) == 0; f.Changed && empty {
			return usagef("give it a value, or leave it out", "--%s is empty", name)
		}
	}
	return nil
}

// exactlyFor is exactly where the Use line does not tell what is wanted.
func exactlyFor(want string, n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usagef(cmd.CommandPath()+" --help shows an example", "%s takes %s, got %s", cmd.Name(), want, show.Plural(len(args), "argument"))
	}
}
