package test

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsTheExample: the program in the README is the Example that runs.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../actors/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```go\n")
	shown, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no block of Go")
	}
	var indented strings.Builder
	for line := range strings.Lines(shown) {
		if strings.TrimSpace(line) != "" {
			indented.WriteByte('\t')
		}
		indented.WriteString(line)
	}
	if !strings.Contains(string(example), indented.String()) {
		t.Error("the block of Go in README.md is not the Example of actors/example_test.go: copy it")
	}
}
