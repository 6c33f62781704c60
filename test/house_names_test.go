package test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// nameRules are the rules about names and lengths of files.
var nameRules = []rule{
	{"names say what is inside", each(findName), map[string]string{
		"store/types.go":         "package store",
		"store/dir_util_test.go": "package store",
		"store/common/a.go":      "package x",
		"cmd/x/a.go":             "package helper",
	}},
	{"files stay short", each(findLength), map[string]string{
		"store/a.go": "package store\n" + strings.Repeat("\n", mostLines),
	}},
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
