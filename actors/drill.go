package actors

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gabiondb/gabion/backup"
	"github.com/gabiondb/gabion/messages"
)

// drillRetry is how long a backup without a verdict, because its disk failed, waits for the next try.
const drillRetry = 15 * time.Minute

// drill proves every backup, and proves it again when its proof is old, one at a time and at a limited rate; after the
// newest backup of a table it reads the live table's blocks too. It has no goroutine while nothing is due, only a timer. The
// tree holds it; a nil drill does nothing.
type drill struct {
	tree *tree

	mu      sync.Mutex
	timer   *time.Timer // nil until start
	running bool
	again   bool // what is due may have changed since the running one looked
	stopped bool
	tried   map[string]time.Time // when a verify came to no verdict
	retaken map[string]time.Time // when a table was backed up anew because a backup turned red
}

func newDrill(t *tree) *drill {
	if c := t.config; c.DisableDrill || c.ReadOnly || c.Visit {
		return nil
	}
	return &drill{tree: t, tried: make(map[string]time.Time), retaken: make(map[string]time.Time)}
}

// start arms the timer. The first look comes a little later: a start has other things to read.
func (d *drill) start() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = time.AfterFunc(time.Minute, d.wake)
}

// stop ends the drill; what it reads ends with the runner's context.
func (d *drill) stop() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.timer != nil {
		d.timer.Stop()
	}
}

// wake does what is due. The timer calls it, and the end of each run.
func (d *drill) wake() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped || d.timer == nil {
		return
	}
	if d.running {
		d.again = true
		return
	}
	d.running, d.again = true, false
	d.tree.admin.start(d.work)
}

// work proves what is due until nothing is, and arms the timer for the next.
func (d *drill) work() {
	wait := mostWait
	defer func() {
		if reason := recover(); reason != nil {
			d.tree.config.Logger.Error("drill panicked", "reason", reason, "stack", string(debug.Stack()))
		}
		d.mu.Lock()
		d.running = false
		again := d.again
		if !d.stopped {
			d.timer.Reset(max(wait, 0))
		}
		d.mu.Unlock()
		if again {
			d.wake()
		}
	}()
	ctx := d.tree.runner.ctx
	for ctx.Err() == nil {
		all, err := d.round()
		if err != nil {
			d.tree.config.Logger.Warn("backups cannot be listed: the drill waits", "error", err)
			wait = drillRetry
			return
		}
		proved := false
		for _, next := range all {
			if pause := next.at.Sub(wallClock()); pause > 0 {
				if !proved {
					wait = min(wait, pause)
					return
				}
				break
			}
			if ctx.Err() != nil || proved && d.outdated() {
				break
			}
			d.prove(ctx, next)
			proved = true
		}
		if !proved {
			return
		}
	}
}

// round lists every backup once, the one that is due first at the front. A list for each proof would be one of all tables for each.
func (d *drill) round() ([]due, error) {
	d.mu.Lock()
	d.again = false // what changes from now on
	d.mu.Unlock()
	now := wallClock()
	all, err := patient(&d.tree.listing, listTimeout, func() ([]due, error) { return d.list(now) })
	slices.SortFunc(all, func(a, b due) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.table, b.table))
	})
	return all, err
}

// outdated tells whether a run has ended since the list was made: it may have removed some of the backups, and made others.
func (d *drill) outdated() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.again
}

// due is one backup, and when it is to be verified.
type due struct {
	target
	at     time.Time
	newest bool // of its table
}

// list reads what there is, and says when each is due: one that was never verified since it is there.
func (d *drill) list(now time.Time) ([]due, error) {
	tables, err := d.tree.backups.Tables()
	if err != nil {
		return nil, err
	}
	var all []due
	for _, table := range tables {
		backups, err := d.tree.backups.List(table)
		if err != nil {
			return nil, err
		}
		for i, b := range backups {
			all = append(all, due{target{table: table, id: b.ID, bytes: b.Bytes()}, d.dueAt(b, now), i == 0})
		}
	}
	return all, nil
}

func (d *drill) dueAt(b backup.Backup, now time.Time) time.Time {
	at := b.CutAt()
	if b.Proof != nil {
		at = b.Proof.GetFinished().AsTime()
	}
	// How old something is that is dated in the future nobody knows. It puts nothing off.
	if messages.Ahead(at, now) {
		at = now
	} else if b.Proof != nil {
		at = at.Add(d.tree.config.DrillEvery)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if tried, ok := d.tried[b.Table+"/"+b.ID]; ok {
		if next := tried.Add(drillRetry); next.After(at) && !tried.After(now) {
			return next
		}
	}
	return at
}

// prove verifies one backup, and after the newest of a table the table.
func (d *drill) prove(ctx context.Context, b due) {
	pace := newPace(ctx, d.tree.config.DrillBytes)
	result := d.tree.verifyBackup(ctx, b.target, backup.VerifyOptions{By: "drill", Progress: pace.spend})
	d.mu.Lock()
	delete(d.tried, b.table+"/"+b.id)
	if result.GetProof() == nil || result.GetFailure() != nil { // or it is not kept, and would be due at once
		d.tried[b.table+"/"+b.id] = wallClock()
	}
	d.mu.Unlock()
	if !b.newest || result.GetProof() == nil || ctx.Err() != nil {
		return
	}
	if c, failure := d.tree.find(b.table); failure == nil {
		d.tree.checkTable(ctx, c, pace.spend)
	}
}

// turnedRed has a table whose newest usable backup is gone, because this one turned red, backed up anew: once, and without a
// link to what lies there. If the new one is red too, the table itself is damaged.
func (d *drill) turnedRed(proof *messages.Proof) {
	if d == nil || proof.GetBy() == byAnew {
		return
	}
	c, failure := d.tree.find(proof.GetTable())
	if failure != nil {
		return
	}
	d.tree.aside("backup anew", func() {
		red, err := patient(&d.tree.listing, listTimeout, func() (backup.Backup, error) {
			return d.tree.backups.Find(c.name, proof.GetBackupId())
		})
		if err == nil && red.OtherCopy {
			return // it says nothing of this table, which may have no backup here at all
		}
		newest, ok, err := d.tree.newestBackup(c.name)
		if err == nil && ok && newest.NewerThan(proof.GetBackupId()) {
			return // the table has a younger one that nothing is known against
		}
		d.mu.Lock()
		last, retaken := d.retaken[c.name]
		if now := wallClock(); d.stopped || retaken && !messages.Ahead(last, now) && now.Sub(last) < d.tree.config.DrillEvery {
			d.mu.Unlock()
			return
		}
		d.retaken[c.name] = wallClock()
		d.mu.Unlock()
		d.retake(c, proof.GetBackupId())
	})
}

// byAnew is what the verify of a backup that was taken anew says of itself.
const byAnew = "backup anew"

func (d *drill) retake(c *cell, red string) {
	t := d.tree
	reply := make(chan proto.Message, 1)
	if failure := t.runner.queueUp(&messages.BackupAll{Tables: []string{c.name}, Label: fmt.Sprintf("anew: %s is red", red)},
		&request{out: t.outbox}, nil, anew{func(m proto.Message) { reply <- m }}); failure != nil {
		c.logger.Error("table not backed up anew", "error", failure)
		return
	}
	var id string
	select {
	case m := <-reply:
		report, _ := m.(*messages.BackupReport)
		for _, result := range report.GetSet().GetResults() {
			id = result.GetBackupId()
		}
	case <-t.runner.ctx.Done():
		return
	}
	if id == "" {
		c.logger.Error("table not backed up anew: its newest backup stays red")
		return
	}
	pace := newPace(t.runner.ctx, t.config.DrillBytes)
	result := t.verifyBackup(t.runner.ctx, target{table: c.name, id: id}, backup.VerifyOptions{By: byAnew, Progress: pace.spend})
	if result.GetProof().GetVerdict() == messages.Verdict_VERDICT_RED {
		c.suspect("two backups in a row are red: " + result.GetProof().GetReason())
		t.checkTable(t.runner.ctx, c, pace.spend)
	}
}

// newestBackup is the table's newest backup that is neither faulty nor red.
func (t *tree) newestBackup(table string) (backup.Backup, bool, error) {
	type found struct {
		backup backup.Backup
		ok     bool
	}
	f, err := patient(&t.listing, listTimeout, func() (found, error) {
		b, ok, err := t.backups.NewestUsable(table)
		return found{b, ok}, err
	})
	return f.backup, f.ok, err
}

// pace holds a reader back to a rate. One goroutine.
type pace struct {
	ctx   context.Context
	rate  int64 // bytes a second
	since time.Time
	spent int64
}

func newPace(ctx context.Context, rate int64) *pace {
	return &pace{ctx: ctx, rate: rate, since: time.Now()}
}

// spend waits until that many more bytes may have been read.
func (p *pace) spend(bytes int64) {
	p.spent += bytes
	ahead := time.Duration(float64(p.spent)/float64(p.rate)*float64(time.Second)) - time.Since(p.since)
	if ahead <= 0 {
		return
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ctx.Done():
	}
}
