package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gabiondb/gabion/messages"
)

// record is one row to import.
type record struct {
	// line is where the record begins, and next the line after it, counted from 1.
	line, next int
	key, value []byte
}

// records reads the records of a file, one after another. next returns io.EOF after the last, and a *badRecord for
// one that is no row; the call after that goes on with the record behind it.
type records interface {
	next() (record, error)
	// lines is how many lines were read so far.
	lines() int
}

// badRecord says why a record is no row.
type badRecord struct {
	line int
	err  error
}

func (b *badRecord) Error() string { return fmt.Sprintf("line %d: %v", b.line, b.err) }
func (b *badRecord) Unwrap() error { return b.err }

// maxLine bounds a line of JSON: the largest value, every byte of it escaped.
const maxLine = 6*messages.MaxValue + 64<<10

// jsonLines reads JSON Lines.
type jsonLines struct {
	text *textLines
	// field is the one that holds the key, and the value is the whole line; empty for the lines of export.
	field string
}

func newJSONLines(r io.Reader, field string) *jsonLines {
	return &jsonLines{text: newTextLines(r), field: field}
}

func (j *jsonLines) lines() int { return j.text.line }

func (j *jsonLines) next() (record, error) {
	for {
		text, err := j.text.next(maxLine)
		line := j.text.line
		switch {
		case errors.Is(err, errLongLine):
			return record{}, &badRecord{line, fmt.Errorf("line is longer than %d B", maxLine)}
		case notText(err):
			return record{}, &badRecord{line, err}
		case err != nil:
			return record{}, err
		case len(bytes.TrimSpace(text)) == 0:
			continue
		}
		r := record{line: line, next: line + 1}
		if r.key, r.value, err = j.parse(text); err == nil {
			err = checkRow(r.key, r.value)
		}
		if err != nil {
			return record{}, &badRecord{line, err}
		}
		return r, nil
	}
}

func (j *jsonLines) parse(text []byte) (key, value []byte, err error) {
	if err := checkNames(text); err != nil {
		return nil, nil, err
	}
	if j.field != "" {
		return j.parseField(text)
	}
	if err := checkEntryNames(text); err != nil {
		return nil, nil, fmt.Errorf("parse JSON: %w; with --key FIELD a line may be any object", err)
	}
	var e entry
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return nil, nil, fmt.Errorf("parse JSON: %w; with --key FIELD a line may be any object", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("parse JSON: more than one value on the line")
	}
	if hasHalfCharacter(text) {
		return nil, nil, errHalfCharacter
	}
	return e.bytes()
}

func (j *jsonLines) parseField(text []byte) (key, value []byte, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, nil, fmt.Errorf("parse JSON object: %w", err)
	}
	if hasHalfCharacter(object[j.field]) {
		return nil, nil, errHalfCharacter
	}
	raw, ok := object[j.field]
	if !ok {
		return nil, nil, fmt.Errorf("object has no field %q", j.field)
	}
	var s string
	switch {
	case json.Unmarshal(raw, &s) == nil:
		return []byte(s), text, nil
	case len(raw) > 0 && strings.ContainsRune("-0123456789", rune(raw[0])):
		return raw, text, nil // a number, as it is written
	}
	return nil, nil, fmt.Errorf("field %q is %.100s, a key is a string or a number", j.field, raw)
}

var errHalfCharacter = errors.New(`not valid UTF-8: half a character, such as \ud800; other bytes are given in base64`)

// hasHalfCharacter finds an escape of half a character, for which the parser would put U+FFFD: two keys would become one.
func hasHalfCharacter(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 >= len(text) {
			return false
		}
		text = text[i:]
		unit, ok := escaped(text)
		switch low, pair := escaped(text[min(6, len(text)):]); {
		case !ok:
			text = text[2:]
		case !utf16.IsSurrogate(unit):
			text = text[6:]
		case !pair || utf16.DecodeRune(unit, low) == utf8.RuneError:
			return true
		default:
			text = text[12:]
		}
	}
}

// escaped returns the code unit of an escape that text begins with.
func escaped(text []byte) (unit rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

// bytes is the row that the entry was made of.
func (e entry) bytes() (key, value []byte, err error) {
	if (e.Key != nil) == (e.KeyBase64 != nil) {
		return nil, nil, errors.New("wants one of key and key_base64")
	}
	if (e.Value != nil) == (e.ValueBase64 != nil) {
		return nil, nil, errors.New("wants one of value and value_base64")
	}
	key, value = e.KeyBase64, e.ValueBase64
	if e.Key != nil {
		key = []byte(*e.Key)
	}
	if e.Value != nil {
		value = []byte(*e.Value)
	}
	return key, value, nil
}

// controlFile reads a file in Debian's control format. The value is the paragraph as it was read.
type controlFile struct {
	p     *paragraphs
	field string // lower case
}

func (c *controlFile) lines() int { return c.p.lines.line }

func (c *controlFile) next() (record, error) {
	p, err := c.p.next()
	switch {
	case errors.Is(err, io.EOF):
		return record{}, err
	case errors.As(err, new(*badRecord)):
		return record{}, errors.Join(err, c.p.skip())
	case err != nil:
		return record{}, err
	}
	key, ok := p.fields[c.field]
	if !ok {
		return record{}, &badRecord{p.line, fmt.Errorf("paragraph has no field %q", c.field)}
	}
	r := record{line: p.line, next: c.p.lines.line + 1, key: []byte(key), value: []byte(p.text)}
	if err := checkRow(r.key, r.value); err != nil {
		return record{}, &badRecord{p.line, err}
	}
	return r, nil
}

// checkRow returns what a table would refuse.
func checkRow(key, value []byte) error {
	if bad := (&messages.Put{Key: key, Value: value}).Check(); bad != nil {
		return errors.New(bad.GetMessage())
	}
	return nil
}
