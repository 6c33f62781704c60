package main

import (
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll reads every paragraph of text.
func readAll(r io.Reader) ([]*paragraph, error) {
	var all []*paragraph
	for source := newParagraphs(r); ; {
		p, err := source.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, p)
	}
}

func TestParagraphs(t *testing.T) {
	type fields = map[string]string
	for name, test := range map[string]struct {
		input string
		want  []paragraph
	}{
		"nothing":     {"", nil},
		"only blanks": {"\n \n\t\n", nil},
		"one": {"Package: a\nVersion: 1\n", []paragraph{
			{1, "Package: a\nVersion: 1\n", fields{"package": "a", "version": "1"}},
		}},
		"last line without its end": {"Package: a\n\nPackage: b", []paragraph{
			{1, "Package: a\n", fields{"package": "a"}}, {3, "Package: b\n", fields{"package": "b"}},
		}},
		"blanks around": {"\n\n  \nPackage: a\n\n\nPackage: b\n\n\n", []paragraph{
			{4, "Package: a\n", fields{"package": "a"}}, {7, "Package: b\n", fields{"package": "b"}},
		}},
		"continuation": {"Description: short\n long\n .\n\tmore\nPackage: a\n", []paragraph{
			{
				1, "Description: short\n long\n .\n\tmore\nPackage: a\n",
				fields{"description": "short\nlong\n.\nmore", "package": "a"},
			},
		}},
		"empty first line of a value": {"Conffiles:\n /etc/a 1\n /etc/b 2\n", []paragraph{
			{1, "Conffiles:\n /etc/a 1\n /etc/b 2\n", fields{"conffiles": "\n/etc/a 1\n/etc/b 2"}},
		}},
		"colons in the value": {"Homepage: https://x.example:1/\n", []paragraph{
			{1, "Homepage: https://x.example:1/\n", fields{"homepage": "https://x.example:1/"}},
		}},
		"comments": {"# head\nPackage: a\n# between\nVersion: 1\n#\n\n# tail\n", []paragraph{
			{2, "Package: a\nVersion: 1\n", fields{"package": "a", "version": "1"}},
		}},
		"carriage returns": {"Package: a\r\nVersion: 1\r\n\r\nPackage: b\r\n", []paragraph{
			{1, "Package: a\nVersion: 1\n", fields{"package": "a", "version": "1"}},
			{4, "Package: b\n", fields{"package": "b"}},
		}},
		"names in any case, values in any script": {"PACKAGE:\u00e9\u4e16 \n", []paragraph{
			{1, "PACKAGE:\u00e9\u4e16 \n", fields{"package": "\u00e9\u4e16"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			// However the input is cut into reads.
			for _, r := range []io.Reader{strings.NewReader(test.input), iotest.OneByteReader(strings.NewReader(test.input))} {
				got, err := readAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != len(test.want) {
					t.Fatalf("read %d paragraphs, want %d", len(got), len(test.want))
				}
				for i, want := range test.want {
					if got[i].line != want.line || got[i].text != want.text || !maps.Equal(got[i].fields, want.fields) {
						t.Errorf("paragraph %d is %+v, want %+v", i, *got[i], want)
					}
				}
			}
		})
	}
}

func TestParagraphsFaults(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, test := range map[string]struct {
		input io.Reader
		want  string
	}{
		"continuation of nothing": {strings.NewReader("\n\n go on\n"), "line 3: continues a field, but none precedes it"},
		"no colon":                {strings.NewReader("Package: a\nwhat\n"), "line 2: neither a field, a continuation nor empty"},
		"no name":                 {strings.NewReader("Package: a\n\n: a\n"), "line 3: neither a field, a continuation nor empty"},
		"blank in the name":       {strings.NewReader("Package name: a\n"), "line 1: neither a field, a continuation nor empty"},
		"field twice":             {strings.NewReader("A: 1\nB: 2\na: 3\n"), `line 3: field "a" is there twice`},
		"unreadable":              {io.MultiReader(strings.NewReader("A: 1\nB: "), iotest.ErrReader(broken)), "line 2: disk on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(test.input)
			if err == nil || err.Error() != test.want {
				t.Errorf("error is %v, want %s", err, test.want)
			}
		})
	}
}

func TestParagraphsLong(t *testing.T) {
	long := strings.Repeat("x", 5<<20)
	got, err := readAll(strings.NewReader("A: " + long + "\n " + long + "\nB: 1\n\nC: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].fields["a"] != long+"\n"+long || got[0].fields["b"] != "1" || got[1].line != 5 {
		t.Errorf("lines of 5 MiB were not read as they are")
	}

	// A paragraph that no row could hold ends the reading before it fills the memory.
	for name, input := range map[string]io.Reader{
		"one line":   endless(strings.Repeat("x", 4<<10)),
		"many lines": io.MultiReader(strings.NewReader("A: 1\n"), endless(strings.Repeat(" x\n", 1<<10))),
	} {
		if _, err := readAll(input); err == nil || !strings.HasSuffix(err.Error(), "paragraph is longer than 16777216 B") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// endless repeats text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// TestLongLineIsOneLine: the rest of a line that is too long is no paragraph, and the lines after it keep their numbers.
func TestLongLineIsOneLine(t *testing.T) {
	long := "Package: huge\nx:" + strings.Repeat("y", maxParagraph) + "\nPackage: smuggled\nx: 1\n\n" +
		"x:" + strings.Repeat("y", 2*maxParagraph+100) + "\n\nPackage: good\n"
	c := &controlFile{p: newParagraphs(strings.NewReader(long)), field: "package"}
	for _, line := range []int{2, 6} {
		_, err := c.next()
		var bad *badRecord
		if !errors.As(err, &bad) || bad.line != line {
			t.Fatalf("%v, want a bad record in line %d", err, line)
		}
	}
	if r, err := c.next(); err != nil || string(r.key) != "good" || r.line != 8 {
		t.Errorf("record %q in line %d, %v", r.key, r.line, err)
	}
}
