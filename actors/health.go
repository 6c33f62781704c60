package actors

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

const (
	// usageTimeout is how long health waits for one table's statistics: they take Pebble's locks.
	usageTimeout = 2 * time.Second
	// listTimeout is how long it waits for the backup directory.
	listTimeout = 5 * time.Second
	// concurrentHealth is how many tables are asked at once.
	concurrentHealth = 16
)

// health asks every table. It answers within its limits, whatever hangs. What it cannot find out is unknown in the report, and
// grades it.
func (t *tree) health() *messages.HealthReport {
	tables := t.members.shown()
	report := &messages.HealthReport{
		Dir: messages.Text(t.directory.Path()), BackupDir: messages.Text(t.backups.Path()), Tables: make([]*messages.TableHealth, len(tables)),
		NextRun: t.scheduler.next()}
	slots := make(chan struct{}, concurrentHealth)
	var wg sync.WaitGroup
	for i, m := range tables {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			report.Tables[i] = m.health()
		})
	}
	wg.Wait()
	now := clock()
	var found findings
	t.addSchedule(report, &found, now)
	known := t.addBackups(report, &found, now)
	t.addOnDisk(report, &found, now)
	t.addLacking(report, &found)
	t.addLosses(report, &found)
	t.addDangers(report, &found)
	if _, short := t.space.short(); short && t.config.ReadOnly {
		// No table is opened for writing, so no table's state says so.
		found.whole.yellow("a server would refuse writes: %s", t.roomText())
	}
	for i, m := range tables {
		t.grade(report.GetTables()[i], known, m.cell, found.of(m.name), now)
	}
	if len(tables) == 0 {
		found.whole.yellow("no tables are served")
	}
	if t.config.Concerns != nil {
		for _, text := range t.config.Concerns() {
			found.whole.yellow("%s", text)
		}
	}
	found.sum(report)
	return report
}

// health is one table's row, without its backups.
func (c *cell) health() *messages.TableHealth {
	info := c.info()
	row := &messages.TableHealth{
		Table: c.name, State: info.GetState(), Reason: info.GetReason(), Hint: info.GetHint(), Restarts: c.restarts.Load()}
	m := c.serving.Load()
	if m == nil {
		row.Unknown = []messages.Figure{messages.Figure_FIGURE_ROWS, messages.Figure_FIGURE_DISK}
		return row
	}
	record := m.store.Record()
	row.Count, row.CountExact = record.GetCount(), record.GetAccounting() == messages.Accounting_ACCOUNTING_EXACT
	row.LiveBytes = record.GetLiveBytes()
	row.Pending = uint64(m.pendingOps())
	usage, err := patient(&c.usage, usageTimeout, func() (store.Usage, error) {
		if err := m.store.Check(); err != nil {
			return store.Usage{}, err
		}
		return m.store.Usage()
	})
	if errors.Is(err, store.ErrReplaced) { // Check froze the store, which reopens
		row.State, row.Reason, row.Hint = messages.TableState_TABLE_STATE_REOPENING, err.Error(), joinHints(err)
		row.Unknown = []messages.Figure{messages.Figure_FIGURE_ROWS, messages.Figure_FIGURE_DISK}
		return row
	}
	if err != nil {
		row.Reason = fmt.Sprintf("statistics are unknown: %v", err)
		row.Unknown = []messages.Figure{messages.Figure_FIGURE_DISK}
		return row
	}
	row.DiskBytes, row.Fragmentation = usage.DiskBytes, usage.Fragmentation
	return row
}
