package test

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsCodeThatRuns: each block of Go in the README is, in this order, part of a file that is tested: on its
// own, or as the body of a function.
func TestReadmeShowsCodeThatRuns(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(readme)
	for _, path := range []string{"../actors/example_test.go", "../actors/example_typed_test.go", "../gabiontest/example_test.go", "../ops/example_test.go"} {
		_, after, found := strings.Cut(rest, "```go\n")
		shown, after, closed := strings.Cut(after, "```")
		if !found || !closed {
			t.Fatalf("README.md has no block of Go of %s", path)
		}
		rest = after
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(file), shown) && !strings.Contains(string(file), indented(shown)) {
			t.Errorf("a block of Go in README.md is not part of %s: copy it from there", path)
		}
	}
	if strings.Contains(rest, "```go\n") {
		t.Error("README.md has a block of Go that nothing tests")
	}
}

func indented(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			lines.WriteByte('\t')
		}
		lines.WriteString(line)
	}
	return lines.String()
}
