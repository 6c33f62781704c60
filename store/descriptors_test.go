package store

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
)

// TestFitDescriptors: a limit below what the tables need to be open is an error with its remedy, but for a reader; one
// that their sstables may meet is a warning.
func TestFitDescriptors(t *testing.T) {
	for _, c := range []struct {
		limit    uint64
		tables   int
		readOnly bool
		fails    bool
		warns    bool
	}{
		{10_088, 1000, false, false, false},
		{10_087, 1000, false, false, true},
		{9064, 1000, false, false, true},
		{9063, 1000, false, true, false},
		{9063, 1000, true, false, true},
		{1 << 63, 1000, false, false, false},
		{1024, 9, false, false, true},
	} {
		var out bytes.Buffer
		d := &Directory{readOnly: c.readOnly, logger: slog.New(slog.NewTextHandler(&out, nil))}
		err := d.fitDescriptors(c.limit, c.tables)
		if c.fails != errors.Is(err, ErrDescriptors) || !c.fails && err != nil || c.warns != (out.Len() > 0) {
			t.Errorf("%v: %v, logged %q", c, err, out.String())
		}
		said := out.String() + strings.Join(messages.Hints(err), "")
		if (c.fails || c.warns) && c.tables == 1000 && !strings.Contains(said, "ulimit -n 10088") {
			t.Errorf("%v: said %q", c, said)
		}
	}
}
