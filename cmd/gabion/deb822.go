package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxParagraph bounds a paragraph, in bytes: it becomes the value of one row.
const maxParagraph = 16 << 20

var errLongParagraph = fmt.Errorf("paragraph is longer than %d B", maxParagraph)

// paragraph is one record of a file in Debian's control format: "Name: value" lines, of which each may go on in
// lines that begin with a blank.
type paragraph struct {
	// line is where the paragraph begins, counted from 1.
	line int
	// text is the paragraph as it was read, with a newline after each line.
	text string
	// fields has the values by lower-case name; lines of a value are separated by newlines.
	fields map[string]string
}

// paragraphs reads the paragraphs of a control file, one after another.
type paragraphs struct {
	lines *textLines
}

func newParagraphs(r io.Reader) *paragraphs { return &paragraphs{newTextLines(r)} }

// next returns the next paragraph, or io.EOF after the last. Other errors name the line; those of the text are a
// *badRecord, after which skip goes to the next paragraph.
func (p *paragraphs) next() (*paragraph, error) {
	var b builder
	begin := 0
	for {
		text, err := p.lines.next(maxParagraph - b.text.Len())
		line := string(text)
		blank := strings.TrimRight(line, " \t") == ""
		switch {
		case errors.Is(err, errLongLine):
			return nil, &badRecord{p.lines.line, errLongParagraph}
		case notText(err):
			return nil, &badRecord{p.lines.line, err}
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case blank && begin > 0:
			return b.paragraph(begin), nil
		case err != nil:
			return nil, io.EOF
		case blank, strings.HasPrefix(line, "#"):
			continue
		case begin == 0:
			begin = p.lines.line
		}
		if err := b.add(line); err != nil {
			return nil, &badRecord{p.lines.line, err}
		}
	}
}

// skip reads to the end of a paragraph that is no good.
func (p *paragraphs) skip() error {
	for {
		line, err := p.lines.next(maxParagraph)
		switch {
		case errors.Is(err, errLongLine), notText(err):
		case errors.Is(err, io.EOF), err == nil && len(bytes.TrimRight(line, " \t")) == 0:
			return nil
		case err != nil:
			return err
		}
	}
}

// builder gathers the lines of one paragraph.
type builder struct {
	text   strings.Builder
	fields map[string]string
	// name and value are of the field that the next line may go on with.
	name  string
	value strings.Builder
}

// add takes one line in.
func (b *builder) add(line string) error {
	b.text.WriteString(line)
	b.text.WriteByte('\n')
	if line[0] == ' ' || line[0] == '\t' {
		if b.name == "" {
			return errors.New("continues a field, but none precedes it")
		}
		b.value.WriteByte('\n')
		b.value.WriteString(strings.TrimSpace(line))
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return errors.New("neither a field, a continuation nor empty")
	}
	b.endField()
	b.name = strings.ToLower(name)
	if _, ok := b.fields[b.name]; ok {
		return fmt.Errorf("field %q is there twice", b.name)
	}
	b.value.WriteString(strings.TrimSpace(value))
	return nil
}

func (b *builder) endField() {
	if b.name == "" {
		return
	}
	if b.fields == nil {
		b.fields = make(map[string]string)
	}
	b.fields[b.name] = b.value.String()
	b.name = ""
	b.value.Reset()
}

// paragraph is what was gathered. It began at line.
func (b *builder) paragraph(line int) *paragraph {
	b.endField()
	return &paragraph{line: line, text: b.text.String(), fields: b.fields}
}
