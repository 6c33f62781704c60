package test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gabiondb/gabion/messages"
)

const (
	isOpen        = messages.TableState_TABLE_STATE_OPEN
	isReopening   = messages.TableState_TABLE_STATE_REOPENING
	isQuarantined = messages.TableState_TABLE_STATE_QUARANTINED
)

// outcome is what became of a cell.
type outcome struct {
	fired    bool
	restarts uint32
	retried  bool // quarantined, and well after RetryTable
	fatal    int  // calls of Pebble's Fatalf
	ranges   int  // losses that were named as a range of operations
	damages  int  // damage that was named
}

// cellRun is one run of a cell.
type cellRun struct {
	*matrixHost
	cell  cell
	short bool // what hangs is given up
	outcome
}

// run carries out the cell.
func (c cell) run(t *testing.T, images matrixImages, seed uint64) outcome {
	r := &cellRun{cell: c, short: c.fault == hangFault && c.which == everyCalls}
	r.matrixHost = newMatrixHost(t, images.of(c.call.phase), faultyTable(c.call.phase), r.short)
	ctx, cancel := context.WithTimeout(context.Background(), matrixPatience)
	defer cancel()
	defer r.system.Shutdown()
	r.prepare(ctx, c.call.phase)
	r.enterPhase(c.call.phase, c.injection(seed))
	worked := make(chan error, 1)
	go func() { worked <- r.work(ctx, c.call.phase) }()

	// The bound is for those that do not fire at all; the others fire at once.
	toFire, done := context.WithTimeout(ctx, matrixPatience/2)
	defer done()
	r.fired = r.fs.await(toFire, func(_ map[diskCall]int, fired int) bool { return fired > 0 })
	if !r.fired {
		t.Errorf("the fault did not fire: the calls were %v", r.fs.calls())
	}
	r.bear(ctx)
	var err error
	if r.short && apart(c.call.file) && c.call.phase != openPhase && c.call.phase != createPhase {
		err = <-worked // the run ends, though its disk does not
		r.fs.heal()
	} else {
		r.fs.heal()
		err = <-worked
	}
	r.checkCalls()
	r.comeBack(ctx, err)
	left := r.image()
	r.check(ctx)
	r.stop()
	left.check(ctx, r, "after what the fault left")
	if c.fault == flipFault {
		stopped := image{r.fs.clone(0, nil), r.rows, r.others}
		stopped.check(ctx, r, "after a clean stop")
	}
	return r.outcome
}

// bear is what happens while the fault lasts: everybody else is answered, and so is who asks about the table.
func (r *cellRun) bear(ctx context.Context) {
	call := r.cell.call
	starting := call.phase == openPhase
	if r.cell.keepsHostDown() {
		return // nothing is up
	}
	if starting {
		r.awaitOthers(ctx)
	}
	for range 3 {
		r.tryOthers(ctx)
	}
	if r.cell.fault == hangFault && !starting && call.phase != createPhase {
		r.bearHang(ctx)
	}
	if r.cell.which != everyCalls || r.cell.fault == hangFault {
		return
	}
	// Some more of it: one that is tried again, or that freezes what was patient.
	most, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	r.fs.await(most, func(_ map[diskCall]int, fired int) bool { return fired > 3 })
	if r.cell.fault == ioFault && !starting && !apart(call.file) {
		r.awaitState(most, r.faulty, isReopening, isQuarantined)
	}
}

// bearHang: a disk that hangs silences no owner. While writes hang, reads are answered.
func (r *cellRun) bearHang(ctx context.Context) {
	r.info(ctx, r.faulty)
	if a := r.ask(r.faulty, &messages.Get{}); r.wait(ctx, a) == nil {
		r.t.Errorf("the table's owner does not answer")
	}
	if r.cell.call.op == readOp || r.cell.call.phase == closePhase {
		return
	}
	untouched := imageRow(0)
	if answer := r.wait(ctx, r.ask(r.faulty, &messages.Get{Key: untouched.key})); !untouched.isIn(answer) {
		r.t.Errorf("a read while the disk does not write was answered %v", answer)
	}
}

// checkCalls: no call came that is listed as impossible.
func (r *cellRun) checkCalls() {
	for call := range r.fs.calls() {
		for _, fault := range faultKinds {
			if !slices.Contains(phases, call.phase) || !befalls(fault, call.op) {
				continue
			}
			if why := absent(fault, call.file, call.phase); why != "" {
				r.t.Errorf("%s of %s in %s is listed as impossible (%s), but %s was called", fault, call.file, call.phase, why, call.op)
			}
		}
	}
}

// keepsHostDown tells whether the host does not start with the fault: it needs its locks, and waits for the look at the
// backups.
func (c cell) keepsHostDown() bool {
	waits := slices.Contains([]string{backupFile, setFile, dirsFile, lastRunFile}, c.call.file) && c.fault == hangFault
	return c.call.phase == openPhase && (c.call.file == holdFile || waits)
}

// apart are the files whose faults are no fault of the table.
func apart(file string) bool {
	return slices.Contains([]string{stagingFile, backupFile, manifestJSON, setFile, holdFile, dirsFile, lastRunFile}, file)
}

// whose are the files that say whose the backups are.
func whose(file string) bool { return file == dirsFile || file == lastRunFile }

// image is what lay on the disk, and what had been acknowledged by then.
type image struct {
	fs     *vfs.MemFS
	rows   *ledger
	others map[string]int
}

// image is what the machine, or the process where nothing else shows the fault, leaves if it ends now.
func (r *cellRun) image() image {
	i := image{rows: r.rows.clone(), others: maps.Clone(r.others)}
	if r.cell.fault == flipFault || r.cell.fault == tornFault {
		i.fs = r.fs.killed()
	} else {
		i.fs = r.fs.clone(0, nil)
	}
	return i
}
