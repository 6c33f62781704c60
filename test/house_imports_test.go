package test

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// arrowRules are the rules about who imports whom.
var arrowRules = []rule{
	{"imports point one way", each(findArrow), map[string]string{
		"store/a.go":           "package store\nimport _ \"" + module + "/backup\"",
		"messages/a.go":        "package messages\nimport _ \"" + module + "/store\"",
		"actors/a_test.go":     "package actors_test\nimport _ \"" + module + "/cmd/gabion\"",
		"test/a_test.go":       "package test\nimport _ \"" + module + "/cmd/gabion\"",
		"backup/a_test.go":     "package backup\nimport _ \"" + protoactor + "/actor\"",
		"sundry/a.go":          "package sundry",
		"internal/disk/a.go":   "package disk\nimport _ \"" + module + "/store\"",
		"internal/sundry/a.go": "package sundry",
		"store/mem/a.go":       "package mem\nimport _ \"" + module + "/ops\"",
		"gabiontest/ops.go":    "package gabiontest\nimport _ \"" + module + "/ops\"",
		"cmd/gabion/kit.go":    "package main\nimport _ \"" + module + "/gabiontest\"",
	}},
}

// TestProtoactorStaysInActors asks the go command, which sees what a dependency brings along.
func TestProtoactorStaysInActors(t *testing.T) {
	if !dependsOnProtoactor(t, "./actors") {
		t.Fatal("go list does not find protoactor where it is")
	}
	if dependsOnProtoactor(t, "./messages", "./internal/disk", "./store", "./backup") {
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

// floors orders the rooms of the house: a package imports what lies lower, or in its own room.
var floors = map[string]int{
	"messages": 0, "internal/disk": 1, "store": 2, "backup": 3, "actors": 4, "gabiontest": 5, "ops": 5, "bench": 5, "cmd": 6, "test": 6,
}

// roomOf returns the room of a directory: the top one, or the one below internal.
func roomOf(dir string) string {
	elements := strings.SplitN(dir, "/", 3)
	if elements[0] == "internal" && len(elements) > 1 {
		return elements[0] + "/" + elements[1]
	}
	return elements[0]
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
		room := roomOf(inside)
		if room != s.room && (floors[room] >= floor || room == "gabiontest" && !s.test) {
			faults = append(faults, fmt.Sprintf("%s: %s imports %s", s.at(spec), s.dir, inside))
		}
	}
	return faults
}
