package test

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// commentRules are the rules about comments.
var commentRules = []rule{
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
