package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

const byteOrderMark = "\xef\xbb\xbf"

// formats are the readers of records, each with a good record of a key, and one with something else in the middle of it.
var formats = map[string]struct {
	read func(io.Reader) records
	with func(key, text string) string
}{
	"JSON Lines": {
		func(r io.Reader) records { return newJSONLines(r, "") },
		func(key, text string) string { return `{"key":"` + key + `","value":"` + text + `"}` + "\n" },
	},
	"JSON Lines by a field": {
		func(r io.Reader) records { return newJSONLines(r, "id") },
		func(key, text string) string { return `{"id":"` + key + `","x":["` + text + `"]}` + "\n" },
	},
	"deb822": {
		func(r io.Reader) records { return &controlFile{p: newParagraphs(r), field: "package"} },
		func(key, text string) string { return "Package: " + key + "\nX: " + text + "\n\n" },
	},
}

// read reads all records: the keys of those that are rows, and the faults of the others. The last error is returned.
func read(t *testing.T, source records) (keys, faults []string, err error) {
	t.Helper()
	for {
		r, err := source.next()
		var bad *badRecord
		switch {
		case errors.Is(err, io.EOF):
			return keys, faults, nil
		case errors.As(err, &bad):
			faults = append(faults, bad.Error())
		case err != nil:
			return keys, faults, err
		default:
			keys = append(keys, string(r.key))
		}
	}
}

// TestTextOfEveryFormat: each format reads the same text, and each fault of it has its line and costs its own record alone.
func TestTextOfEveryFormat(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			one, two := f.with("one", "x"), f.with("two", "y")
			for what, c := range map[string]struct {
				text  string
				keys  string
				fault string // of one record
			}{
				"plain":                       {one + two, "one two", ""},
				"a byte order mark":           {byteOrderMark + one + two, "one two", ""},
				"a byte order mark alone":     {byteOrderMark, "", ""},
				"carriage returns":            {strings.ReplaceAll(one+two, "\n", "\r\n"), "one two", ""},
				"both":                        {byteOrderMark + strings.ReplaceAll(one+two, "\n", "\r\n"), "one two", ""},
				"no end of the last line":     {strings.TrimRight(one+two, "\n"), "one two", ""},
				"empty lines":                 {"\n\n" + one + "\n\r\n" + two, "one two", ""},
				"nothing":                     {"", "", ""},
				"bytes that are no UTF-8":     {one + f.with("bad", "\xff") + two, "one two", "not valid UTF-8"},
				"another file's beginning":    {one + f.with("bad", strings.Repeat("x", maxLine)) + two, "one two", "longer than"},
				"half a character of UTF-8":   {one + f.with("bad", "\xe2\x82") + two, "one two", "not valid UTF-8"},
				"a surrogate within UTF-8":    {one + f.with("bad", "\xed\xa0\x80") + two, "one two", "not valid UTF-8"},
				"a NUL byte":                  {one + f.with("bad", "x\x00y") + two, "one two", "a NUL byte"},
				"a mark that is not at first": {one + f.with("two", byteOrderMark), "one two", ""},
			} {
				keys, faults, err := read(t, f.read(strings.NewReader(c.text)))
				if err != nil || strings.Join(keys, " ") != c.keys || (len(faults) == 1) != (c.fault != "") {
					t.Errorf("%s: keys %q, faults %.200q, %v", what, keys, faults, err)
					continue
				}
				if c.fault != "" && (!strings.Contains(faults[0], c.fault) || !strings.HasPrefix(faults[0], "line ")) {
					t.Errorf("%s: %.200q lacks %q", what, faults[0], c.fault)
				}
			}
			for mark, want := range map[string]error{"\xff\xfe": errUTF16, "\xfe\xff": errUTF16, "\xff\xfe\x00\x00": errUTF32, "\x00\x00\xfe\xff": errUTF32} {
				_, _, err := read(t, f.read(strings.NewReader(mark+one)))
				if !errors.Is(err, want) || !strings.Contains(strings.Join(messages.Hints(err), " "), "iconv") || !strings.HasPrefix(err.Error(), "line 1: ") {
					t.Errorf("a file that begins with %x: %v", mark, err)
				}
			}
		})
	}
}

// TestRecordsNameEachFieldOnce: a name that is there twice, in whatever depth or spelling, is a fault; two that differ are not.
func TestRecordsNameEachFieldOnce(t *testing.T) {
	for _, c := range []struct{ format, text, fault string }{
		{"JSON Lines", `{"key":"a","key":"b","value":""}`, `name "key" twice`},
		{"JSON Lines", `{"key":"a","\u006bey":"b","value":""}`, `name "key" twice`},
		{"JSON Lines", `{"Key":"a","value":""}`, `unknown field "Key"`},
		{"JSON Lines", `{"key":"a","VALUE":"","value":""}`, `unknown field "VALUE"`},
		{"JSON Lines", `{"\u212aey":"a","value":""}`, `unknown field "`}, // the sign of Kelvin folds to k
		{"JSON Lines", `{"key":"a","value":"","more":1}`, `unknown field "more"`},
		{"JSON Lines", `{"key":"a","value":""} {}`, "more than one value"},
		{"JSON Lines by a field", `{"id":"a","id":"b"}`, `name "id" twice`},
		{"JSON Lines by a field", `{"id":"a","x":{"y":[1,{"z":1,"z":2}]}}`, `name "z" twice`},
		{"JSON Lines by a field", `{"id":"a","x":1,"y":{"x":1},"z":[{"x":1},{"x":"x"}],"ID":2}`, ""},
		{"JSON Lines by a field", `{"ID":"a"}`, `no field "id"`},
		{"JSON Lines by a field", `{"id":"id","x":"id"}`, ""},
		{"deb822", "Package: a\nPackage: b", `field "package" is there twice`},
		{"deb822", "Package: a\nPACKAGE: b", `field "package" is there twice`},
		{"deb822", "Package: a\nX: 1\nY: 2\nx: 3", `field "x" is there twice`},
		{"deb822", "PACKAGE: a\nX: Package", ""},
	} {
		_, faults, err := read(t, formats[c.format].read(strings.NewReader(c.text)))
		if err != nil || (len(faults) == 1) != (c.fault != "") || c.fault != "" && !strings.Contains(faults[0], c.fault) {
			t.Errorf("%s %q: %q, %v, want %q", c.format, c.text, faults, err, c.fault)
		}
	}
}

// FuzzRecords: whatever a file holds, each format reads it to its end. Line numbers grow, and keys and values are UTF-8.
func FuzzRecords(f *testing.F) {
	for _, format := range formats {
		f.Add([]byte(byteOrderMark + format.with("k", "v")))
	}
	f.Add([]byte("\xff\xfea"))
	f.Add([]byte(`{"key":"a","key":{"b":[{}]}}`))
	f.Add([]byte("A: b\n c\n\r\n#\nA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, format := range formats {
			source, last := format.read(bytes.NewReader(text)), 0
			for range len(text) + 2 {
				r, err := source.next()
				var bad *badRecord
				if errors.As(err, &bad) {
					r.line = bad.line
				} else if err != nil {
					if !errors.Is(err, io.EOF) && !errors.Is(err, errUTF16) && !errors.Is(err, errUTF32) {
						t.Fatalf("%s: %v", name, err)
					}
					last = -1
					break
				}
				if r.line <= last || r.line > source.lines() {
					t.Fatalf("%s: a record at line %d after %d, of %d", name, r.line, last, source.lines())
				}
				last = r.line
			}
			if last >= 0 {
				t.Fatalf("%s: it does not end", name)
			}
		}
	})
}
