package test

import (
	"go/ast"
	"slices"
	"strings"
)

// clockRules are the rules about clocks.
var clockRules = []rule{
	{"durations are taken by the monotonic clock", each(findWallClock), map[string]string{
		"actors/a.go": "package actors\nimport \"time\"\nvar last = time.Now().UnixNano()",
		"ops/b.go":    "package ops\nimport clock \"time\"\nvar last = clock.Now().Unix()",
		"store/c.go":  "package store\nimport \"time\"\nvar left = time.Since(time.Unix(0, 1))",
	}},
}

// stamped are files that write when something was, for people or as a number that only rises.
var stamped = []string{"store/group.go", "store/create.go", "store/restore.go", "gabiontest/restart.go", "actors/eventlog.go"}

// findWallClock finds times that have lost their monotonic reading where the clock is read: what is subtracted from them changes
// when the clock is set.
func findWallClock(s *source) (faults []string) {
	if s.test || slices.Contains(stamped, s.path) {
		return nil
	}
	clock := localName(s, "time")
	called := func(n ast.Node, name string) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return false
		}
		use, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || use.Sel.Name != name {
			return false
		}
		of, ok := use.X.(*ast.Ident)
		return ok && clock != "" && of.Name == clock
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if strings.HasPrefix(n.Sel.Name, "Unix") && called(n.X, "Now") {
				faults = append(faults, s.at(n)+": drops the monotonic reading; keep the time.Time, or time.Since of one")
			}
		case *ast.CallExpr:
			if called(n, "Since") && len(n.Args) == 1 && called(n.Args[0], "Unix") {
				faults = append(faults, s.at(n)+": measures by a clock that may be set")
			}
		}
		return true
	})
	return faults
}
