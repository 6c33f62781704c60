package ops

import (
	"strings"
	"testing"
)

// Whatever a file holds, reading it ends, with values or with faults that each have a place.
func FuzzParseFile(f *testing.F) {
	for _, s := range Settings() {
		f.Add(yamlOf(s, samples[s.Key]))
	}
	f.Add("tables:\n  - a\n  - B\nlimits: {readers: *x, cache_bytes: !!int 5}\n---\nkeep: |\n  3\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, faults := parseFile("f.yaml", []byte(text))
		for _, fault := range faults {
			if !strings.HasPrefix(fault.Error(), "f.yaml") {
				t.Errorf("%q: fault without a place: %v", text, fault)
			}
		}
	})
}
