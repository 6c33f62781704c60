package main

import (
	"bufio"
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
	r    *bufio.Reader
	line int
	// cut is set when the last line was too long and has not been read to its end.
	cut bool
}

func newParagraphs(r io.Reader) *paragraphs { return &paragraphs{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next paragraph, or io.EOF after the last. Other errors name the line; those of the text are a
// *badRecord, after which skip goes to the next paragraph.
func (p *paragraphs) next() (*paragraph, error) {
	var b builder
	begin := 0
	for {
		line, err := p.readLine(maxParagraph - b.text.Len())
		blank := strings.TrimRight(line, " \t") == ""
		switch {
		case errors.Is(err, errLongParagraph):
			return nil, &badRecord{p.line, err}
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("line %d: %w", p.line, err)
		case blank && begin > 0:
			return b.paragraph(begin), nil
		case err != nil:
			return nil, io.EOF
		case blank, strings.HasPrefix(line, "#"):
			continue
		case begin == 0:
			begin = p.line
		}
		if err := b.add(line); err != nil {
			return nil, &badRecord{p.line, err}
		}
	}
}

// skip reads to the end of a paragraph that is no good.
func (p *paragraphs) skip() error {
	for {
		line, err := p.readLine(maxParagraph)
		switch {
		case errors.Is(err, errLongParagraph):
		case errors.Is(err, io.EOF), err == nil && strings.TrimRight(line, " \t") == "":
			return nil
		case err != nil:
			return fmt.Errorf("line %d: %w", p.line, err)
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

// readLine reads one line of at most limit bytes, without its end. It returns io.EOF only when nothing is left.
func (p *paragraphs) readLine(limit int) (string, error) {
	for p.cut { // what is left of a line that was too long is no line
		_, err := p.r.ReadSlice('\n')
		if p.cut = errors.Is(err, bufio.ErrBufferFull); err != nil && !p.cut {
			return "", err
		}
	}
	p.line++
	var line strings.Builder
	for {
		part, err := p.r.ReadSlice('\n')
		if line.Len()+len(part) > limit {
			p.cut = errors.Is(err, bufio.ErrBufferFull)
			return "", errLongParagraph
		}
		line.Write(part)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, errors.Is(err, io.EOF) && line.Len() > 0:
			return strings.TrimRight(line.String(), "\r\n"), nil
		default:
			if errors.Is(err, io.EOF) {
				p.line-- // there was none
			}
			return "", err
		}
	}
}
