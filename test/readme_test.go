package test

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsTheExamples: the Go in the README is that of Examples that run.
func TestReadmeShowsTheExamples(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(readme)
	for _, name := range []string{"../actors/example_test.go", "../actors/example_typed_test.go"} {
		example, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, after, found := strings.Cut(rest, "```go\n")
		shown, after, closed := strings.Cut(after, "```")
		if !found || !closed {
			t.Fatalf("README.md has no block of Go for %s", name)
		}
		rest = after
		var indented strings.Builder
		for line := range strings.Lines(shown) {
			if strings.TrimSpace(line) != "" {
				indented.WriteByte('\t')
			}
			indented.WriteString(line)
		}
		if !strings.Contains(string(example), indented.String()) {
			t.Errorf("a block of Go in README.md is not in %s: copy it from there", name)
		}
	}
	if strings.Contains(rest, "```go\n") {
		t.Error("README.md has a block of Go that is no Example")
	}
}
