package gabiontest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabiondb/gabion/actors"
	"github.com/gabiondb/gabion/gabiontest"
	"github.com/gabiondb/gabion/messages"
)

// TestMonthOfNineTables: nine tables, all written every hour, with daily backups and the drill, for 30 virtual days.
func TestMonthOfNineTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := []string{"task_queue", "dead_letters", "mailboxes", "direct_history", "group_history", "channels", "threads", "agents", "config"}
		k := gabiontest.StartConfig(t, actors.Config{Tables: tables, Interval: 24 * time.Hour, DrillEvery: 7 * 24 * time.Hour})
		const hours = 30 * 24
		for hour := range hours {
			for _, table := range tables {
				if _, err := k.Gabion().Table(table).Put(t.Context(), fmt.Appendf(nil, "%06d", hour), []byte("water the plants")); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Hour)
		}
		health, err := k.Gabion().Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range health.GetTables() {
			if row.GetGrade() != messages.Grade_GRADE_GREEN || row.GetCount() != hours || row.GetBackups() != 3 {
				t.Errorf("after a month: %v", row)
			}
		}
		history, err := k.Gabion().History(t.Context(), &messages.ListHistory{})
		if err != nil || len(history.GetRuns()) < 30 || len(history.GetRuns()) > 31 {
			t.Errorf("%d runs in a month: %v", len(history.GetRuns()), err)
		}
		for _, run := range history.GetRuns() {
			if run.GetBackedUp() != uint32(len(tables)) {
				t.Errorf("run %v", run)
			}
		}
	})
}
