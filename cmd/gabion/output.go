package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/ops/show"
)

// output is stdout, buffered. After an error every write fails with it.
type output struct {
	w *bufio.Writer
	// json is the flag --json.
	json bool
	// terminal is set when a person reads.
	terminal bool
}

func newOutput(w io.Writer) *output {
	o := &output{w: bufio.NewWriterSize(w, 64<<10)}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		o.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return o
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	return n, outputError(err)
}

func (o *output) flush() error {
	return outputError(o.w.Flush())
}

// errNoReader: nobody reads stdout any more.
var errNoReader = errors.New("nobody reads the output")

// outputError tells a reader that went away from other errors, and from those of other pipes.
func outputError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return errNoReader
	}
	return fmt.Errorf("write output: %w", err)
}

func (o *output) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(o, format, args...)
	return err
}

// table prints rows in columns under a header, each line after indent. An empty last cell leaves no blanks.
func (o *output) table(indent string, header []string, rows [][]string) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		// Tabs in a cell would make columns of it.
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = show.Printable(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("align columns: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		if err := o.printf("%s%s\n", indent, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// message prints m as one JSON document over several lines.
func (o *output) message(m proto.Message) error {
	data, err := marshal(m)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return fmt.Errorf("indent JSON: %w", err)
	}
	return o.printf("%s\n", b.Bytes())
}

// line prints v as JSON on one line.
func (o *output) line(v any) error {
	return printJSON(o, v)
}

// marshal turns m into JSON without white space. Protojson's own is random on purpose. Zeros are printed, so that
// every row has the same fields.
func marshal(m proto.Message) (json.RawMessage, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal %T: %w", m, err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return nil, fmt.Errorf("compact JSON: %w", err)
	}
	return b.Bytes(), nil
}
