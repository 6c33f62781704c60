package test

import (
	"go/ast"
	"slices"
)

// testRules are the rules about tests.
var testRules = []rule{
	{"tests do not sleep outside a bubble", each(findSleep), map[string]string{
		"store/a_test.go": "package store\nimport \"time\"\nfunc f() { time.Sleep(1) }",
		"store/b_test.go": "package store\nimport clock \"time\"\nvar nap = clock.Sleep",
	}},
	{"tests are not skipped", each(findSkip), map[string]string{
		"store/a_test.go": "package store\nfunc f(t *testing.T) { t.Skip() }",
		"store/b_test.go": "package store\nfunc f(t *testing.T) { t.Skipf(\"%d\", 1) }",
		"store/c_test.go": "package store\nfunc f(t *testing.T) { t.SkipNow() }",
	}},
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
