package gabiontest

import (
	"slices"
	"strings"
	"sync"
	"syscall"
)

// fault is what befalls the calls that match, until it is healed.
type fault struct {
	match func(Op) bool
	err   error
	// healed is closed by heal; calls of a fault without an error wait for it.
	healed chan struct{}
}

// meet is called before each call of a file system: it waits and fails as the faults in force say. lost ends a wait.
func (d *Disk) meet(kind OpKind, path string, lost <-chan struct{}) error {
	d.mu.Lock()
	faults := d.faults
	d.mu.Unlock()
	if len(faults) == 0 {
		return nil
	}
	op := newOp(kind, path)
	for _, f := range faults {
		if !f.match(op) {
			continue
		}
		if f.err != nil {
			return f.err
		}
		select {
		case <-f.healed:
		case <-lost:
		}
	}
	return nil
}

func (d *Disk) add(f *fault) (heal func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.healed = make(chan struct{})
	// Copied: meet reads it without the lock.
	d.faults = append(slices.Clone(d.faults), f)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if i := slices.Index(d.faults, f); i >= 0 {
			d.faults = append(slices.Clone(d.faults[:i]), d.faults[i+1:]...)
			close(f.healed)
		}
	}
}

// healAll heals every fault.
func (d *Disk) healAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.faults {
		close(f.healed)
	}
	d.faults = nil
}

// Fault makes every call for which match returns true fail with err, without being carried out, until heal, which
// may be called any number of times. match is called on the goroutine that makes the call, and must not
// call the disk.
//
// Pebble repeats a change of an sstable that failed (Path ends in .sst) without a pause; fail those of a table only
// together with its WAL (.log).
func (d *Disk) Fault(match func(Op) bool, err error) (heal func()) {
	return d.add(&fault{match: match, err: err})
}

// Hang holds up every call for which match returns true until heal, or until the power is lost; it is carried
// out then. Within a bubble of testing/synctest a call that hangs may stop time for good: see the package's comment.
// A Gabion is stopped in time only after heal; Close of a Kit heals.
func (d *Disk) Hang(match func(Op) bool) (heal func()) {
	return d.add(&fault{match: match})
}

// FailWrites makes every change of the files of the given tables, or of all where none is given, fail with
// EIO until heal; reads go on. At its next write a table freezes: what waits for its fsync is answered UNAVAILABLE
// with outcome_unknown, and what comes later UNAVAILABLE until the table has been opened again, which is
// tried after 100 ms, then twice as long each time. After ten failures, some two minutes, it is quarantined.
func (d *Disk) FailWrites(tables ...string) (heal func()) {
	return d.Fault(func(op Op) bool {
		return op.live() && among(tables, op) && op.Kind.Changes() && !op.retried()
	}, syscall.EIO)
}

// HangSyncs holds up the fsyncs of the WALs of the given tables, or of all where none is given, until heal: writes wait
// for their answer, and so do reads of the keys they write. After Config.StallAfter, 10 s, the table is stalled: they are
// answered UNAVAILABLE, the writes with outcome_unknown, and later writes are refused. It is safe in a bubble.
func (d *Disk) HangSyncs(tables ...string) (heal func()) {
	return d.Hang(func(op Op) bool {
		return op.live() && among(tables, op) && op.Kind == OpSync && strings.HasSuffix(op.Path, ".log")
	})
}

// FailBackups makes every change of the files of backups of the given tables, or of all where none is
// given, fail with EIO until heal: their rows in the reports of runs are failures, and the backups that are
// complete stay. A table that has not changed since its last backup needs no new one, and does not fail.
func (d *Disk) FailBackups(tables ...string) (heal func()) {
	return d.Fault(func(op Op) bool {
		return op.Backup && among(tables, op) && op.Kind.Changes()
	}, syscall.EIO)
}

// FillDisk makes every call that needs space fail with ENOSPC until empty is called. Tables are full: they answer writes
// RESOURCE_EXHAUSTED, but those that met the full disk first UNAVAILABLE, with outcome_unknown; reads go on, and so do
// writes once empty was called, within a second or a little later.
func (d *Disk) FillDisk() (empty func()) {
	heal := d.Fault(func(op Op) bool {
		switch op.Kind {
		case OpCreate, OpWrite, OpMkdir, OpLink:
			return !op.retried()
		}
		return false
	}, syscall.ENOSPC)
	fill := func(n int) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.full += n
	}
	fill(1)
	return sync.OnceFunc(func() {
		fill(-1)
		heal()
	})
}

// among tells whether the op is of one of the tables; no tables are all.
func among(tables []string, op Op) bool {
	return len(tables) == 0 || slices.Contains(tables, op.Table)
}
