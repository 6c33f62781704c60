package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gabiondb/gabion/messages"
)

var (
	errLongLine = errors.New("line is too long")
	errNotUTF8  = errors.New("not valid UTF-8; in JSON Lines other bytes are given in base64, as key_base64 or value_base64")
	errNUL      = messages.WithHint(errors.New("a NUL byte, which no text holds"), "where the file is in UTF-16, convert it: iconv -f UTF-16LE -t UTF-8 FILE")
	errUTF32    = messages.WithHint(errors.New("the file is in UTF-32"), "convert it: iconv -f UTF-32 -t UTF-8 FILE")
	errUTF16    = messages.WithHint(errors.New("the file is in UTF-16"), "convert it: iconv -f UTF-16 -t UTF-8 FILE")
)

// textLines reads the lines of a text in UTF-8, whatever the format of its records. A byte order mark at its beginning is not part
// of it, and neither are the ends of lines, with or without a carriage return.
type textLines struct {
	r *bufio.Reader
	// line is the number of the line that was read last, counted from 1.
	line  int
	begun bool
	// cut is set when the last line was too long and has not been read to its end.
	cut bool
}

func newTextLines(r io.Reader) *textLines { return &textLines{r: bufio.NewReaderSize(r, 64<<10)} }

// next reads one line of at most limit bytes, its end included. The error is io.EOF when nothing is left. After errLongLine,
// errNotUTF8 and errNUL the next call goes on with the line behind; the others and the reader's own errors are for good.
func (t *textLines) next(limit int) ([]byte, error) {
	if !t.begun {
		t.begun = true
		if err := t.begin(); err != nil {
			return nil, err
		}
	}
	for t.cut {
		_, err := t.r.ReadSlice('\n')
		if t.cut = errors.Is(err, bufio.ErrBufferFull); err != nil && !t.cut {
			return nil, t.failed(err)
		}
	}
	t.line++
	var line []byte
	for {
		part, err := t.r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			t.cut = errors.Is(err, bufio.ErrBufferFull)
			return nil, errLongLine
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) == 0:
			t.line-- // there was none
			return nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, t.failed(err)
		case !utf8.Valid(line):
			return nil, errNotUTF8
		case bytes.IndexByte(line, 0) >= 0:
			return nil, errNUL
		default:
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		}
	}
}

// begin takes the byte order mark away.
func (t *textLines) begin() error {
	head, _ := t.r.Peek(4) // its error comes again with the first line
	switch {
	case bytes.Equal(head, []byte("\xff\xfe\x00\x00")), bytes.Equal(head, []byte("\x00\x00\xfe\xff")):
		return fmt.Errorf("line 1: %w", errUTF32)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return fmt.Errorf("line 1: %w", errUTF16)
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := t.r.Discard(3)
		return err
	}
	return nil
}

// notText tells the errors of a line that is no text; the next one may be.
func notText(err error) bool { return errors.Is(err, errNotUTF8) || errors.Is(err, errNUL) }

func (t *textLines) failed(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("line %d: %w", t.line, err)
}
