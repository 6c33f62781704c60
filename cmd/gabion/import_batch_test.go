package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/ops"
)

// countedWrites is a table that notes how many operations each Write has.
type countedWrites struct {
	ops.TableAccess
	batches []int
}

func (c *countedWrites) Write(ctx context.Context, m *messages.Write) (uint64, error) {
	c.batches = append(c.batches, len(m.GetOps()))
	return c.TableAccess.Write(ctx, m)
}

// TestBatches: a batch ends with its thousandth row, or with the row that makes it a MiB of keys and values.
func TestBatches(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := fill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		rows, bytes int
		want        []int
	}{
		{2*batchRows + 500, 10, []int{batchRows, batchRows, 500}},
		{batchRows, 10, []int{batchRows}},
		{9, batchBytes / 4, []int{4, 4, 1}},
		{9, batchBytes/4 - 1, []int{5, 4}},
		{2, batchBytes + 1, []int{1, 1}},
	} {
		var lines strings.Builder
		for i := range test.rows {
			fmt.Fprintf(&lines, "{\"key\":\"%05d\",\"value\":%q}\n", i, strings.Repeat("v", test.bytes-5))
		}
		err := (&place{dir: dir}).writeTable(t.Context(), "empty", func(table ops.TableAccess) error {
			counted := &countedWrites{TableAccess: table}
			i := &importing{flags: importFlags{fromLine: 1}, table: counted, progress: newProgress(nil, 0)}
			err := i.run(t.Context(), newJSONLines(strings.NewReader(lines.String()), ""))
			if !slices.Equal(counted.batches, test.want) || i.rows != test.rows {
				t.Errorf("%d rows of %d B are written as %d, in all %d", test.rows, test.bytes, counted.batches, i.rows)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
