package actors

import (
	"context"
	"errors"
	"time"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

// checkPause is how long a table whose blocks were read and found sound is not read through again, whatever reads meet.
const checkPause = time.Minute

// mostCheckPause is the longest pause between two checks of a table whose disk did not give a block.
const mostCheckPause = time.Hour

// suspicion is what is held against the files of a table that serves.
type suspicion struct {
	reason string // "" for none
	// unread: the disk did not give a block. It may give it later, so that nothing is replaced for that.
	unread  bool
	checked time.Time // when its blocks were last read through; zero before
}

// suspect holds something against the table: health shows it in red.
func (c *cell) suspect(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspicion.reason, c.suspicion.unread = messages.Text(reason), false
}

// suspectDisk is suspect where only the disk failed.
func (c *cell) suspectDisk(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.suspicion.reason == "" || c.suspicion.unread {
		c.suspicion.reason, c.suspicion.unread = messages.Text(err.Error()), true
	}
}

// suspected returns what is held against the table.
func (c *cell) suspected() suspicion {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.suspicion
}

// acquit ends a suspicion: all blocks of the table were read, or it was replaced.
func (c *cell) acquit(checked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspicion = suspicion{checked: checked}
}

// checkTable reads every block of a table that serves, past all caches. What is damaged is held against the table, and
// healed where the configuration allows it. One at a time for each table.
func (t *tree) checkTable(ctx context.Context, c *cell, spend func(bytes int64)) {
	m := c.serving.Load()
	if m == nil || !c.checking.CompareAndSwap(false, true) {
		return
	}
	defer c.checking.Store(false)
	err := t.checkLive(ctx, m, spend)
	switch {
	case err == nil:
		c.acquit(time.Now())
	case m.store.Frozen() || c.serving.Load() != m:
		c.logger.Warn("table's blocks not checked", "error", err)
	case errors.Is(err, messages.ErrDataLoss):
		c.suspect(err.Error())
		c.logger.Error("table is damaged: what is read from there fails", "error", err,
			"hint", "restore it from a backup: gabion restore "+c.name)
		t.heal(c, true, err)
	case store.Unreadable(err):
		c.suspectDisk(err)
		c.logger.Error("table cannot be read whole: the disk does not give a block", "error", err,
			"hint", "look at the disk and the log of the system; the table is read again within an hour")
		t.checkAgain(c)
	default:
		c.logger.Warn("table's blocks not checked", "error", err)
	}
}

// checkAgain reads a table again, first after checkPause, until the disk gives every block, or what it gives is damaged.
func (t *tree) checkAgain(c *cell) {
	if !c.rechecked.CompareAndSwap(false, true) {
		return
	}
	t.aside("another check of a table", func() {
		defer c.rechecked.Store(false)
		for pause := checkPause; c.suspected().unread && !c.dropped.Load(); pause = min(2*pause, mostCheckPause) {
			select {
			case <-time.After(pause):
			case <-t.runner.ctx.Done():
				return
			}
			t.checkTable(t.runner.ctx, c, func(int64) {})
		}
	})
}

// isDamage tells whether an error says that files of a live table are damaged: what they hold is not what was written, or the disk does
// not give it.
func isDamage(err error) bool { return errors.Is(err, messages.ErrDataLoss) || store.Unreadable(err) }

// checkLive reads every block of the store that serves.
func (t *tree) checkLive(ctx context.Context, m *committer, spend func(bytes int64)) error {
	_, err := watched(ctx, t.config.CopyTimeout, "check of the table's blocks", func(ctx context.Context, progress func()) (any, error) {
		return nil, m.store.CheckBlocks(1, func(bytes int64) error {
			progress()
			spend(bytes)
			progress()
			return context.Cause(ctx)
		})
	})
	return err
}

// met takes the error of a read that met a block that is damaged, or that the disk does not give. It must not wait: Pebble's locks are held.
func (t *tree) met(c *cell, err error) {
	c.logger.Error("damaged block met", "error", err)
	// Each read of the block comes here.
	if s := c.suspected(); c.checking.Load() || t.config.ReadOnly || s.reason != "" || time.Since(s.checked) < checkPause {
		return
	}
	t.aside("check of a table", func() {
		t.checkTable(t.runner.ctx, c, func(int64) {})
	})
}
