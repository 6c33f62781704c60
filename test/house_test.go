package test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
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
	room  string // the top directory
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

var rules = []rule{
	{"imports point one way", each(findArrow), map[string]string{
		"store/a.go":        "package store\nimport _ \"" + module + "/backup\"",
		"messages/a.go":     "package messages\nimport _ \"" + module + "/store\"",
		"actors/a_test.go":  "package actors_test\nimport _ \"" + module + "/cmd/gabion\"",
		"test/a_test.go":    "package test\nimport _ \"" + module + "/cmd/gabion\"",
		"backup/a_test.go":  "package backup\nimport _ \"" + protoactor + "/actor\"",
		"sundry/a.go":       "package sundry",
		"store/mem/a.go":    "package mem\nimport _ \"" + module + "/ops\"",
		"gabiontest/ops.go": "package gabiontest\nimport _ \"" + module + "/ops\"",
		"cmd/gabion/kit.go": "package main\nimport _ \"" + module + "/gabiontest\"",
	}},
	{"names say what is inside", each(findName), map[string]string{
		"store/types.go":         "package store",
		"store/dir_util_test.go": "package store",
		"store/common/a.go":      "package x",
		"cmd/x/a.go":             "package helper",
	}},
	{"files stay short", each(findLength), map[string]string{
		"store/a.go": "package store\n" + strings.Repeat("\n", mostLines),
	}},
	{"tests do not sleep outside a bubble", each(findSleep), map[string]string{
		"store/a_test.go": "package store\nimport \"time\"\nfunc f() { time.Sleep(1) }",
		"store/b_test.go": "package store\nimport clock \"time\"\nvar nap = clock.Sleep",
	}},
	{"tests are not skipped", each(findSkip), map[string]string{
		"store/a_test.go": "package store\nfunc f(t *testing.T) { t.Skip() }",
		"store/b_test.go": "package store\nfunc f(t *testing.T) { t.Skipf(\"%d\", 1) }",
		"store/c_test.go": "package store\nfunc f(t *testing.T) { t.SkipNow() }",
	}},
	{"nothing is left to do", each(findTodo), map[string]string{
		"store/a.go": "package store\n// TODO: all of it",
		"store/b.go": "package store\nvar x = 1 /* FIXME */",
	}},
	{"packages have a comment", findPackageComment, map[string]string{
		"store/a.go": "package store",
		"store/b.go": "// Copyright\n\npackage store",
	}},
	{"what is exported has a comment", each(findExported), map[string]string{
		"store/a.go": "package store\nfunc Open() {}",
		"store/b.go": "package store\ntype T struct{}",
		"store/c.go": "package store\n// T is a type.\ntype T int\nfunc (t *T) Close() {}",
		"store/d.go": "package store\nconst (\n\tA = 1\n)",
		"store/e.go": "package store\n// I is an interface.\ntype I interface{ Do() }",
	}},
	{"files are touched through vfs.FS alone", each(findDisk), map[string]string{
		"actors/a.go":   "package actors\nimport \"os\"\nvar x = os.Getpid()",
		"store/a.go":    "package store\nimport \"os\"\nvar x, err = os.Stat(\"x\")",
		"backup/a.go":   "package backup\nimport \"os\"\nvar x, err = os.Open(\"x\")",
		"backup/b.go":   "package backup\nimport \"github.com/cockroachdb/pebble/v2/vfs\"\nvar x = vfs.Default",
		"messages/a.go": "package messages\nimport \"path/filepath\"\nvar x, err = filepath.Glob(\"*\")",
	}},
}

func TestHouse(t *testing.T) {
	repository := readRepository(t)
	for _, r := range rules {
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

// TestProtoactorStaysInActors asks the go command, which sees what a dependency brings along.
func TestProtoactorStaysInActors(t *testing.T) {
	if !dependsOnProtoactor(t, "./actors") {
		t.Fatal("go list does not find protoactor where it is")
	}
	if dependsOnProtoactor(t, "./messages", "./store", "./backup") {
		t.Error("messages, store or backup depends on protoactor")
	}
}

func dependsOnProtoactor(t *testing.T, packages ...string) bool {
	t.Helper()
	list := exec.Command("go", append([]string{"list", "-deps", "-test"}, packages...)...)
	list.Dir = ".."
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", list, err, out)
	}
	return bytes.Contains(out, []byte(protoactor+"/"))
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
		path: name, dir: path.Dir(name), room: strings.Split(path.Dir(name), "/")[0],
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

// floors orders the rooms of the house: a package imports what lies lower, or in its own room.
var floors = map[string]int{
	"messages": 0, "store": 1, "backup": 2, "actors": 3, "gabiontest": 4, "ops": 4, "bench": 4, "cmd": 5, "test": 5,
}

func findArrow(s *source) (faults []string) {
	floor, ok := floors[s.room]
	if !ok {
		return []string{fmt.Sprintf("%s: %q is no room of the house; ARCHITECTURE.md lists them", s.path, s.room)}
	}
	for _, spec := range s.file.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		if strings.HasPrefix(target, protoactor) && floor < floors["actors"] {
			faults = append(faults, fmt.Sprintf("%s: %s imports protoactor", s.at(spec), s.dir))
		}
		inside, ours := strings.CutPrefix(target, module+"/")
		if !ours {
			continue
		}
		room := strings.Split(inside, "/")[0]
		if room != s.room && (floors[room] >= floor || room == "gabiontest" && !s.test) {
			faults = append(faults, fmt.Sprintf("%s: %s imports %s", s.at(spec), s.dir, inside))
		}
	}
	return faults
}

var emptyNames = regexp.MustCompile(`^(utils?|commons?|helpers?|types?|misc)$`)

func findName(s *source) (faults []string) {
	names := append(strings.Split(s.path, "/"), s.file.Name.Name)
	for _, name := range names {
		words := strings.Split(strings.TrimSuffix(name, ".go"), "_")
		if slices.ContainsFunc(words, emptyNames.MatchString) {
			faults = append(faults, fmt.Sprintf("%s: %q does not say what is inside", s.path, name))
		}
	}
	return faults
}

func findLength(s *source) []string {
	if s.lines <= mostLines {
		return nil
	}
	return []string{fmt.Sprintf("%s: has %d lines, maximum is %d", s.path, s.lines, mostLines)}
}

func findSleep(s *source) (faults []string) {
	for use, name := range uses(s, "time") {
		if s.test && name == "Sleep" && localName(s, "testing/synctest") == "" {
			faults = append(faults, s.at(use)+": sleeps; wait for what must happen, or import testing/synctest")
		}
	}
	return faults
}

func findSkip(s *source) (faults []string) {
	if !s.test {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if use, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, use.Sel.Name) {
			faults = append(faults, s.at(use)+": skips; a test that cannot run here belongs elsewhere")
		}
		return true
	})
	return faults
}

var leftover = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func findTodo(s *source) (faults []string) {
	for _, group := range s.file.Comments {
		if leftover.MatchString(group.Text()) {
			faults = append(faults, s.at(group)+": do it, or file an issue")
		}
	}
	return faults
}

func findPackageComment(files []*source) (faults []string) {
	has := map[string]bool{}
	for _, s := range files {
		if !strings.HasSuffix(s.file.Name.Name, "_test") {
			has[s.dir] = has[s.dir] || s.file.Doc.Text() != ""
		}
	}
	for dir, ok := range has {
		if !ok {
			faults = append(faults, dir+": package has no comment")
		}
	}
	return faults
}

// spoken are methods whose meaning the standard library fixes.
var spoken = []string{"Error", "Unwrap", "String", "LogValue"}

func findExported(s *source) (faults []string) {
	if s.test {
		return nil
	}
	want := func(name *ast.Ident, comments ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c.Text() != "" }) {
			faults = append(faults, fmt.Sprintf("%s: %s has no comment", s.at(name), name.Name))
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch d := n.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || isExported(d.Recv) && !slices.Contains(spoken, d.Name.Name) {
				want(d.Name, d.Doc)
			}
			return false // what a function declares is its own affair
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch v := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range v.Names {
						want(name, d.Doc, v.Doc, v.Comment)
					}
				case *ast.TypeSpec:
					want(v.Name, d.Doc, v.Doc)
				}
			}
		case *ast.InterfaceType:
			for _, method := range d.Methods.List {
				for _, name := range method.Names {
					want(name, method.Doc, method.Comment)
				}
			}
		}
		return true
	})
	return faults
}

// isExported tells whether a method's receiver is of an exported type.
func isExported(receiver *ast.FieldList) (exported bool) {
	ast.Inspect(receiver.List[0].Type, func(n ast.Node) bool {
		name, ok := n.(*ast.Ident)
		exported = exported || ok && name.IsExported()
		return !ok
	})
	return exported
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
