package test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabiondb/gabion/messages"
	"github.com/gabiondb/gabion/store"
)

var namedRange = regexp.MustCompile(`operations (\d+) to (\d+) are lost`)

// mayDamage tells whether the cell's fault may leave the only copy of something damaged.
func (r *cellRun) mayDamage() bool {
	return r.cell.fault == flipFault &&
		slices.Contains([]string{walFile, manifestFile, sstableFile, optionsFile, currentFile}, r.cell.call.file)
}

// named notes that a loss or damage was named, and tells whether it may have been.
func (r *cellRun) named(when, text string) bool {
	r.t.Logf("%s: %s", when, text)
	if lost := namedRange.FindStringSubmatch(text); lost != nil {
		r.ranges++
		first, _ := strconv.ParseUint(lost[1], 10, 64)
		last, _ := strconv.ParseUint(lost[2], 10, 64)
		all := r.rows.seq // where the mark tells, it is of the last one
		if first == 0 || last < first || last > all || last < all && strings.Contains(text, "high-water mark") {
			r.t.Errorf("%s: operations %d to %d are named as lost, the last acknowledged one is %d", when, first, last, r.rows.seq)
		}
	} else {
		r.damages++
	}
	return r.mayDamage()
}

// comeBack brings the faulty table back after the fault was healed. err is how the work ended.
func (r *cellRun) comeBack(ctx context.Context, err error) {
	switch r.cell.call.phase {
	case openPhase:
		if err != nil {
			if !r.cell.keepsHostDown() {
				r.t.Errorf("the start failed, though the fault is one table's: %v", err)
			}
			if err := r.start(ctx); err != nil {
				r.t.Fatalf("start after the fault: %v", err)
			}
		}
	case cutPhase, publishPhase, prunePhase:
		r.checkReport(err)
	case closePhase:
		if err := r.g.OpenTable(ctx, r.faulty); err != nil {
			r.t.Logf("open after the close: %v", err)
		}
	case createPhase:
		if err == nil {
			break
		}
		err := r.g.CreateTable(ctx, r.faulty, false)
		if code(err) == messages.Code_CODE_ALREADY_EXISTS {
			err = r.g.OpenTable(ctx, r.faulty)
		}
		if err != nil && !(r.mayDamage() && errors.Is(err, messages.ErrDataLoss)) {
			r.t.Errorf("create again: %v", err)
		}
	}
}

// checkReport: the run has backed the other tables up, and does not hide what it could not do for this one.
func (r *cellRun) checkReport(err error) {
	if whose(r.cell.call.file) && r.cell.call.op == readOp && r.cell.fault == ioFault {
		// The read that fails may be another's than the run's, which then knows whose the backups are; a refusal names the disk.
		if err != nil && !errors.Is(err, messages.ErrNotAdopted) && !strings.Contains(err.Error(), "it cannot be told whose the backups are") {
			r.t.Errorf("nobody could tell whose the backups are, and the run ended with %v", err)
		}
		return
	}
	if err != nil {
		r.t.Errorf("run: %v", err)
	}
	told := len(r.report.GetFaults()) > 0
	for _, result := range r.report.GetSet().GetResults() {
		switch {
		case result.GetFailure() == nil:
		case result.GetTable() == r.faulty, r.cell.call.file == holdFile: // of all tables
			told = true
		case !r.short: // a slow machine may take longer than that
			r.t.Errorf("a table that is not at fault was not backed up: %v", result)
		}
	}
	silent := r.cell.fault == flipFault || r.cell.fault == hangFault && !r.short
	loud := slices.Contains([]string{createOp, writeOp, syncOp, renameOp, mkdirOp}, r.cell.call.op)
	if loud && !silent && apart(r.cell.call.file) && !told {
		r.t.Errorf("the report does not tell of the fault: %v", r.report)
	}
}

// checkDamagedManifest: a backup whose manifest is damaged is no backup, and says so.
func (r *cellRun) checkDamagedManifest(ctx context.Context) {
	list, err := r.g.ListBackups(ctx, r.faulty)
	if err != nil {
		r.t.Errorf("list backups: %v", err)
	}
	for _, b := range list.GetBackups() {
		if b.GetFault() != "" {
			return
		}
	}
	r.t.Errorf("the damaged manifest is not seen: %v", list.GetBackups())
}

// settled waits until the table serves; a quarantine is tried once more. false: it does not, and has said why.
func (r *cellRun) settled(ctx context.Context, when string) bool {
	info, _ := r.awaitState(ctx, r.faulty, isOpen, isQuarantined)
	if info.GetState() == isQuarantined {
		if r.cell.fault == spaceFault {
			r.t.Errorf("%s: a full disk had the table quarantined: %s", when, info.GetReason())
		}
		if r.g.RetryTable(ctx, r.faulty) == nil {
			r.retried = true
			return true
		}
		info = r.info(ctx, r.faulty)
	}
	if info.GetState() == isOpen {
		return true
	}
	if !r.named(when, info.GetReason()) {
		r.t.Errorf("%s: the table is %v: %s", when, info.GetState(), info.GetReason())
	}
	return false
}

// check is what must hold while the same Gabion goes on, after the fault.
func (r *cellRun) check(ctx context.Context) {
	r.tryOthers(ctx)
	serves := r.settled(ctx, "after the fault") && r.checkRows(ctx, "after the fault")
	for i := range 3 {
		if !serves {
			break
		}
		r.putAfter(ctx, row{fmt.Appendf(nil, "after%d", i), []byte("after")})
	}
	if r.cell.fault == flipFault && r.cell.call.file == manifestJSON {
		r.checkDamagedManifest(ctx)
	}
	if slices.Contains([]string{cutPhase, publishPhase, prunePhase}, r.cell.call.phase) && serves {
		r.checkBackup(ctx)
	}
	r.checkAnswers(ctx)
	r.checkHealth(ctx)
}

// putAfter puts a row after the fault. A table that has just failed may not have said so yet.
func (r *cellRun) putAfter(ctx context.Context, after row) {
	for {
		acked, answer := r.put(ctx, after)
		failure, _ := answer.(*messages.Failure)
		switch {
		case acked, r.mayDamage() && strings.Contains(failure.GetMessage(), "damage"):
			return
		case failure.GetCode() != messages.Code_CODE_UNAVAILABLE || ctx.Err() != nil:
			r.t.Errorf("a write after the fault was answered %v", answer)
			return
		case !r.settled(ctx, "after the fault"):
			return
		}
		pause()
	}
}

// checkRows compares what a Gabion shows of the faulty table with what was answered.
func (r *cellRun) checkRows(ctx context.Context, when string) bool {
	found, err := r.readFaulty(ctx)
	for errors.Is(err, messages.ErrUnavailable) && ctx.Err() == nil {
		// It has just failed, and had not said so yet.
		pause()
		if !r.settled(ctx, when) {
			return false
		}
		found, err = r.readFaulty(ctx)
	}
	if err != nil {
		if !errors.Is(err, messages.ErrDataLoss) || !r.named(when, err.Error()) {
			r.t.Errorf("%s: read the table: %v", when, err)
		}
		return false
	}
	faults := r.rows.check(found)
	for _, fault := range faults[:min(3, len(faults))] {
		r.t.Errorf("%s: %s (%d faults in all)", when, fault, len(faults))
	}
	return true
}

// checkBackup: the next run is whole.
func (r *cellRun) checkBackup(ctx context.Context) {
	// A token that is another one by a bit is another copy's: only a person can tell.
	adopt := r.cell.fault == flipFault && whose(r.cell.call.file)
	report, err := r.g.Backup(ctx, &messages.BackupAll{Adopt: adopt})
	if adopt && err != nil && strings.Contains(err.Error(), store.ErrNewer.Error()) {
		return // the bit was one of the format version
	}
	if err != nil {
		r.t.Errorf("next backup: %v", err)
	}
	for _, fault := range report.GetFaults() {
		r.t.Errorf("next backup: %s", fault)
	}
	for _, result := range report.GetSet().GetResults() {
		if result.GetFailure() != nil && !r.mayDamage() {
			r.t.Errorf("next backup: %v", result)
		}
	}
}

// checkHealth: what is not at fault has not been closed, and what is was closed for its own faults alone.
func (r *cellRun) checkHealth(ctx context.Context) {
	report, err := r.g.Health(ctx)
	if err != nil {
		r.t.Errorf("health: %v", err)
	}
	for _, row := range report.GetTables() {
		if row.GetTable() == r.faulty {
			r.restarts = row.GetRestarts()
		}
		if row.GetTable() != r.faulty || apart(r.cell.call.file) {
			if states := r.troubles(row.GetTable()); row.GetRestarts() > 0 || len(states) > 0 {
				r.t.Errorf("table %s was reopened %d times, though the fault is not its own: %q", row.GetTable(), row.GetRestarts(), states)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fatal = len(r.fatals)
}

// code is that of the Failure in an error.
func code(err error) messages.Code {
	var failure *messages.Failure
	errors.As(err, &failure)
	return failure.GetCode()
}

// check starts a Gabion on what lay on the disk: every table has what was acknowledged, or says that it has not.
func (i image) check(ctx context.Context, r *cellRun, when string) {
	h := &matrixHost{t: r.t, fs: newFaultFS(i.fs, r.faulty), faulty: r.faulty, turned: make(chan struct{}), system: quietSystem()}
	defer h.system.Shutdown()
	h.config = matrixConfig(h.fs, false)
	if r.faulty == newTable {
		h.config.Tables = append(slices.Clone(matrixTables), newTable)
	}
	if err := h.start(ctx); err != nil {
		r.t.Errorf("%s: start: %v", when, err)
		return
	}
	again := &cellRun{matrixHost: h, cell: r.cell}
	defer h.stop()
	h.rows = i.rows
	if again.settled(ctx, when) {
		again.checkRows(ctx, when)
	}
	r.ranges, r.damages = r.ranges+again.ranges, r.damages+again.damages
	for table, n := range i.others {
		rows := 0
		err := h.g.Table(table).Walk(ctx, nil, func(_, _ []byte) error { rows++; return nil })
		if err != nil || rows < n {
			r.t.Errorf("%s: table %s, which is not at fault, has %d rows of %d: %v", when, table, rows, n, err)
		}
	}
}
