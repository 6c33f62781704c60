package test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module     = "github.com/gabiondb/gabion"
	protoactor = "github.com/asynkron/protoactor-go"
	mostLines  = 400
)

// source is one Go file of the repository.
type source struct {
	path  string // from the root, with slashes
	dir   string
	room  string // see roomOf
	test  bool
	lines int
	file  *ast.File
	set   *token.FileSet
}

// at says where in the repository a node is.
func (s *source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.set.Position(n.Pos()).Line)
}

// rule is one rule of the house.
type rule struct {
	name string
	// find returns what breaks the rule.
	find func([]*source) []string
	// broken holds files, by path, each of which alone breaks the rule.
	broken map[string]string
}

// rules are those of the house. Each family has a file.
func rules() []rule {
	return slices.Concat(arrowRules, nameRules, testRules, commentRules, diskRules, clockRules)
}

func TestHouse(t *testing.T) {
	repository := readRepository(t)
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, fault := range r.find(repository) {
				t.Error(fault)
			}
			for path, text := range r.broken {
				if len(r.find([]*source{parse(t, path, []byte(text))})) == 0 {
					t.Errorf("%s passes, but breaks the rule:\n%.200s", path, text)
				}
			}
		})
	}
}

// readRepository parses every Go file that somebody wrote.
func readRepository(t *testing.T) []*source {
	t.Helper()
	var files []*source
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := entry.Name(); entry.IsDir() && name != ".." && (base[0] == '.' || base == "testdata" || base == "node_modules") {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if s := parse(t, strings.TrimPrefix(filepath.ToSlash(name), "../"), text); !ast.IsGenerated(s.file) {
			files = append(files, s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("found %d files only", len(files))
	}
	return files
}

func parse(t *testing.T, name string, text []byte) *source {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return &source{
		path: name, dir: path.Dir(name), room: roomOf(path.Dir(name)),
		test: strings.HasSuffix(name, "_test.go"), lines: bytes.Count(text, []byte("\n")), file: file, set: set,
	}
}

// each makes a rule over all files of one over a single file.
func each(find func(*source) []string) func([]*source) []string {
	return func(files []*source) (faults []string) {
		for _, s := range files {
			faults = append(faults, find(s)...)
		}
		return faults
	}
}

// localName is what the file calls a package that it imports, empty when it does not.
func localName(s *source, target string) string {
	for _, spec := range s.file.Imports {
		if spec.Path.Value == strconv.Quote(target) {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(target)
		}
	}
	return ""
}

// uses returns where the file names something of a package it imports, and what.
func uses(s *source, target string) map[ast.Node]string {
	local, found := localName(s, target), map[ast.Node]string{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if use, ok := n.(*ast.SelectorExpr); ok {
			if name, ok := use.X.(*ast.Ident); ok && name.Name == local {
				found[use] = use.Sel.Name
			}
		}
		return true
	})
	return found
}
