package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// example is a block of Go in a page: a file that compiles as it stands.
type example struct {
	page, text string
	line       int
}

// pages are what people read.
func pages(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob("../docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatalf("no docs: %v", err)
	}
	return append(docs, "../README.md", "../ARCHITECTURE.md", "../CONTRIBUTING.md", "../CHANGELOG.md")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// examples returns the blocks of Go in all pages.
func examples(t *testing.T) (all []example) {
	t.Helper()
	for _, page := range pages(t) {
		text := read(t, page)
		for rest := text; ; {
			_, after, found := strings.Cut(rest, "```go\n")
			if !found {
				break
			}
			shown, after, closed := strings.Cut(after, "```")
			if !closed {
				t.Fatalf("%s has a block that does not end", page)
			}
			line := 1 + strings.Count(text[:len(text)-len(after)-len(shown)-len("```")], "\n")
			all = append(all, example{page, shown, line})
			rest = after
		}
	}
	if len(all) < 5 {
		t.Fatalf("%d examples, want those of the README at least", len(all))
	}
	return all
}

func (e example) String() string { return fmt.Sprintf("%s:%d", e.page, e.line) }

// TestReadmeShowsCodeThatRuns: what each function of a page's example does is part of a test, or of an example that go test runs.
func TestReadmeShowsCodeThatRuns(t *testing.T) {
	var tested []string
	for _, s := range readRepository(t) {
		if s.test {
			tested = append(tested, read(t, filepath.Join("..", s.path)))
		}
	}
	for _, e := range examples(t) {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, e.page, e.text, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%v: %v", e, err)
			continue
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			body := e.text[set.Position(f.Body.Lbrace).Offset+2 : set.Position(f.Body.Rbrace).Offset]
			if !slices.ContainsFunc(tested, func(text string) bool { return strings.Contains(text, body) }) {
				t.Errorf("%v: func %s is no part of a test: copy it from there", e, f.Name.Name)
			}
		}
	}
}

// TestReadmeCompilesElsewhere: each example compiles, with its imports, in a module of a stranger, who has the modules that
// this one requires and nothing more.
func TestReadmeCompilesElsewhere(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The versions are ours, so that nothing is downloaded.
	ours := read(t, "../go.mod")
	write("go.mod", strings.Replace(ours, "module "+module, "module example.org/stranger", 1)+
		fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %[1]s => %q\n", module, filepath.ToSlash(root)))
	write("go.sum", read(t, "../go.sum"))
	where := map[string]example{}
	for i, e := range examples(t) {
		name := fmt.Sprintf("example%d/example.go", i+1)
		if strings.Contains(e.text, "*testing.T)") {
			name = fmt.Sprintf("example%d/example_test.go", i+1)
		}
		write(name, e.text)
		where[name] = e
	}
	vet := exec.Command("go", "vet", "./...")
	vet.Dir = dir
	vet.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local")
	if out, err := vet.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s\nexamples: %v", err, out, where)
	}
}

var goGet = regexp.MustCompile(`go (get|install|run|test|build) (-[^ ]+ )*((github\.com|\./)[^\s` + "`" + `"]*)`)

// TestReadmeNamesWhatExists: what a page tells people to get, install or run is a package of this module.
func TestReadmeNamesWhatExists(t *testing.T) {
	if want := "module " + module + "\n"; !strings.HasPrefix(read(t, "../go.mod"), want) {
		t.Errorf("go.mod does not begin with %q", want)
	}
	named := map[string]int{}
	for _, page := range pages(t) {
		for _, match := range goGet.FindAllStringSubmatch(read(t, page), -1) {
			verb, name := match[1], match[3]
			named[verb]++
			at, _, _ := strings.Cut(name, "@")
			dir, ours := strings.CutPrefix(at, module)
			if !ours && !strings.HasPrefix(at, "./") {
				t.Errorf("%s: go %s %s is of another module", page, verb, name)
				continue
			}
			dir = path.Join("..", strings.TrimSuffix(dir, "/..."))
			files, err := filepath.Glob(filepath.Join(dir, "*.go"))
			switch {
			case verb == "get" && dir == "..": // the module
			case err != nil || len(files) == 0 && !strings.HasSuffix(at, "..."):
				t.Errorf("%s: go %s %s: there is no such package", page, verb, name)
			case verb == "install" || verb == "run":
				if file, err := parser.ParseFile(token.NewFileSet(), files[0], nil, parser.PackageClauseOnly); err != nil || file.Name.Name != "main" {
					t.Errorf("%s: go %s %s is no command", page, verb, name)
				}
			}
		}
	}
	if named["get"] == 0 || named["install"] == 0 || named["run"] == 0 {
		t.Errorf("the pages name %v, want get, install and run", named)
	}
}
