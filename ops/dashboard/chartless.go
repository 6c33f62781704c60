package dashboard

import (
	"context"

	"github.com/gabiondb/gabion/messages"
)

// What stands where a chart without points would be.
const (
	noSizes     = "No points yet: the first comes within ten minutes, while the table is open."
	noDurations = "No points yet: the first comes with the first run."
)

// chartless says why the charts of sizes, of one table or of all, and the chart of runs have no points. It says nothing
// of a chart that has some.
func (d *Dashboard) chartless(ctx context.Context, table string) (sizes, durations string) {
	m := &messages.ListHistory{}
	if table != "" {
		m.Tables = []string{table}
	}
	history, err := d.gabion.History(ctx, m)
	if err != nil {
		text := "The history cannot be read: " + err.Error()
		return text, text
	}
	if len(history.GetTables()) == 0 {
		sizes = noSizes
	}
	if len(history.GetRuns()) == 0 {
		durations = noDurations
	}
	return sizes, durations
}
