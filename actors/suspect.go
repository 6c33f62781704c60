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

// suspicion is what is held against the files of a table that serves.
type suspicion struct {
	reason  string    // "" for none
	checked time.Time // when its blocks were last read through; zero before
}

// suspect holds something against the table: health shows it in red.
func (c *cell) suspect(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspicion.reason = messages.Text(reason)
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
	case isDamage(err) && !m.store.Frozen() && c.serving.Load() == m:
		c.suspect(err.Error())
		c.logger.Error("table is damaged: what is read from there fails", "error", err,
			"hint", "restore it from a backup: gabion restore "+c.name)
		t.heal(c, true, err)
	default:
		c.logger.Warn("table's blocks not checked", "error", err)
	}
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
