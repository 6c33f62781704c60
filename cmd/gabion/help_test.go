package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelpTeachesByExample: every command's help has an example of that command.
func TestHelpTeachesByExample(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		// Cobra's own explain themselves.
		if name := cmd.Name(); name == "help" || name == "completion" {
			return
		}
		want := cmd.CommandPath()
		if !strings.Contains(cmd.Example, want) {
			t.Errorf("%s has no example", want)
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newRoot(newOutput(io.Discard)))
}
