package dashboard

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestShownValue: what a page shows of one value is bounded, whatever it is, and whole where it is short.
func TestShownValue(t *testing.T) {
	long := `{"list":[` + strings.TrimSuffix(strings.Repeat(`"value",`, 2000), ",") + `]}`
	for name, c := range map[string]struct {
		value, as string
		begins    string
		cut       bool
	}{
		"text":                     {"plain", "text", "plain", false},
		"text cut in a character":  {strings.Repeat("ä", shownBytes), "text", "ää", true},
		"binary":                   {strings.Repeat("\xff", shownBytes+1), "text", `"\xff\xff`, true},
		"json":                     {`{"a":[1]}`, "json", "{\n  \"a\": [\n    1", false},
		"json that is long":        {long, "json", "{\n  \"list\": [\n    \"value\"", true},
		"json that nests":          {strings.Repeat("[", 2048) + strings.Repeat("]", 2048), "json", "[[[[", false},
		"json that nests a little": {strings.Repeat("[", 20) + strings.Repeat("]", 20), "json", "[\n  [\n", false},
		"json whose strings close": {`["` + strings.Repeat("]", 3000) + `",` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "]", "json", `["]]]`, true},
		"json with an escape":      {`["\"]]]]",` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + "]", "json", `["\"]]]]`, true},
		"json of strings":          {`["[[{",{"}":"\\"}]`, "json", "[\n  \"[[{\"", false},
		"no json":                  {"{", "json", "{", false},
		"hex":                      {"\x00", "hex", "00000000  00 ", false},
		"hex that is long":         {strings.Repeat("\x00", shownBytes+1), "hex", "00000000  00 ", true},
	} {
		text, cut := shownValue([]byte(c.value), c.as)
		if !strings.HasPrefix(text, c.begins) || cut != c.cut || !utf8.ValidString(text) {
			t.Errorf("%s: %.60q, cut %v, want %q, %v", name, text, cut, c.begins, c.cut)
		}
		if most := shownBytes * 5; len(text) > most { // a byte is four in Go's quotes, five in a dump
			t.Errorf("%s: %d B are shown", name, len(text))
		}
	}
	if got, cut := head([]byte("ab")); string(got) != "ab" || cut {
		t.Errorf("head is %q, %v", got, cut)
	}
	for i := range 4 {
		text := strings.Repeat("x", shownBytes-i) + "😀 and more"
		want := strings.Repeat("x", shownBytes-i)
		if got, cut := head([]byte(text)); string(got) != want || !cut {
			t.Errorf("%d B before the end: %q", i, got[len(got)-5:])
		}
	}
}

// TestDepth counts no bracket within a string.
func TestDepth(t *testing.T) {
	for text, want := range map[string]int{
		`1`: 0, `"["`: 0, `[]`: 1, `[[],[]]`: 2, `{"a":{"b":[1]}}`: 3, `["]",["]",["]"]]]`: 3, `["\"]]",[[]]]`: 3, `["\\",[[]]]`: 3, `"[[`: 0,
	} {
		if got := depth([]byte(text)); got != want {
			t.Errorf("%s nests %d deep, want %d", text, got, want)
		}
	}
}
