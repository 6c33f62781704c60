package test

import (
	"fmt"
	"go/ast"
	"iter"
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
	{"a doc comment begins with the name it documents", findMisnamed, map[string]string{
		"store/a.go":      "package store\n// Close closes.\nfunc Open() {}",
		"store/b.go":      "package store\n// Opens the table.\nfunc Open() {}",
		"store/c.go":      "package store\n// T2 is a type.\ntype T struct{}",
		"store/d.go":      "package store\n// T is a type.\ntype T int\n// Opens.\nfunc (t *T) Close() {}",
		"store/e.go":      "package store\n// I is an interface.\ntype I interface{\n// Does.\nDo()\n}",
		"store/f.go":      "package store\nconst (\n// In bytes.\na = 1\n)",
		"store/g.go":      "package store\n// In bytes.\nvar a = 1",
		"store/h.go":      "package store\n// Open opens.\n\n// Close closes.\nfunc Close() {}\nfunc Open() {}",
		"store/i.go":      "package store\n// Open opens.\nfunc open() {}",
		"store/a_test.go": "package store\n// one is first.\nfunc two() {}\nfunc one() {}",
		"store/b_test.go": "package store\n// aThing is first.\nfunc TestA(t *testing.T) {}",
		"store/c_test.go": "package store\n// TestOther is of another file.\nfunc TestA(t *testing.T) {}",
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

// findMisnamed finds doc comments that begin with another name than that of what they document, and those that document nothing.
// An article may come first. A test, whose name says it all, may be told in plain words instead.
func findMisnamed(files []*source) (faults []string) {
	for _, s := range files {
		declared, documents := map[string]bool{}, map[*ast.CommentGroup]bool{}
		for name, doc := range documented(s) {
			declared[name.Name] = true
			documents[doc] = true
		}
		for _, d := range s.file.Decls {
			if group, ok := d.(*ast.GenDecl); ok {
				documents[group.Doc] = true
			}
		}
		for name, doc := range documented(s) {
			first := subject(doc)
			switch {
			case first == "" || first == name.Name:
			case !s.test, declared[first], identifier.MatchString(first):
				faults = append(faults, fmt.Sprintf("%s: the comment of %s begins with %q", s.at(name), name.Name, first))
			}
		}
		for _, group := range s.file.Comments {
			if at := s.set.Position(group.Pos()); at.Column == 1 && !documents[group] && group != s.file.Doc && declared[subject(group)] {
				faults = append(faults, fmt.Sprintf("%s: the comment of %s is not above it", s.at(group), subject(group)))
			}
		}
	}
	return faults
}

// identifier is what is no word of a sentence.
var identifier = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z]|^[a-z]+[A-Z]`)

// subject is the first word of a comment, after an article.
func subject(doc *ast.CommentGroup) string {
	words := strings.Fields(doc.Text())
	if len(words) > 1 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	if len(words) == 0 || words[0] == "Deprecated:" {
		return ""
	}
	return strings.TrimRight(words[0], ".,:;")
}

// documented returns what a file declares, methods of interfaces included, with its doc comment, nil where it has none. A comment
// above several names is that of the first, one above a group of declarations nobody's.
func documented(s *source) iter.Seq2[*ast.Ident, *ast.CommentGroup] {
	return func(yield func(*ast.Ident, *ast.CommentGroup) bool) {
		all := map[*ast.Ident]*ast.CommentGroup{}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				all[f.Name] = f.Doc
			}
			group, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range group.Specs {
				switch v := spec.(type) {
				case *ast.ValueSpec:
					all[v.Names[0]] = alone(group, v.Doc)
				case *ast.TypeSpec:
					all[v.Name] = alone(group, v.Doc)
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if i, ok := n.(*ast.InterfaceType); ok {
				for _, m := range i.Methods.List {
					for _, name := range m.Names {
						all[name] = m.Doc
					}
				}
			}
			return true
		})
		for name, doc := range all {
			if !yield(name, doc) {
				return
			}
		}
	}
}

// alone is the doc comment of a declaration: its own, or that of a group that is no group.
func alone(group *ast.GenDecl, own *ast.CommentGroup) *ast.CommentGroup {
	if own == nil && !group.Lparen.IsValid() {
		return group.Doc
	}
	return own
}
