package test

import (
	"context"
	"fmt"
	"strings"

	"github.com/gabiondb/gabion/messages"
)

// newTable is what the create phase makes.
const newTable = "fresh"

// faultyTable is the table that a phase's faults befall.
func faultyTable(phase string) string {
	if phase == createPhase {
		return newTable
	}
	return "tasks"
}

// settling is what comes before a phase; its calls count for none.
const settling = "settling"

// prepare starts the Gabion, unless that is the phase, and waits until Pebble has removed what the start replaced.
func (h *matrixHost) prepare(ctx context.Context, phase string) {
	if phase == openPhase {
		return
	}
	h.fs.enter(settling, nil)
	if err := h.start(ctx); err != nil {
		h.t.Fatalf("start without a fault: %v", err)
	}
	if phase != createPhase && !h.rests(ctx, settling) {
		h.t.Fatalf("start without a fault has not come to its end: %v", h.fs.calls())
	}
}

// enterPhase begins a phase, with its fault.
func (h *matrixHost) enterPhase(phase string, fault *injection) {
	switch phase {
	case compactionPhase:
		phase = beforeCompaction
	case publishPhase, prunePhase:
		phase = cutPhase // the file system tells the parts of a run
	}
	h.fs.enter(phase, fault)
}

// work does what a phase is, on the faulty table; a fault may make any of it fail.
func (h *matrixHost) work(ctx context.Context, phase string) error {
	switch phase {
	case openPhase:
		return h.start(ctx)
	case commitPhase:
		h.write(ctx, 8, 100)
	case flushPhase:
		h.write(ctx, 80, 300)
	case compactionPhase:
		h.write(ctx, 300, 300)
	case cutPhase, publishPhase, prunePhase:
		h.write(ctx, 4, 100)
		report, err := h.g.BackupAll(ctx)
		h.report = report
		return err
	case closePhase:
		h.write(ctx, 4, 100)
		return h.g.CloseTable(ctx, h.faulty)
	case createPhase:
		return h.g.CreateTable(ctx, h.faulty, false)
	}
	return nil
}

// write puts rows, one after the other: new ones, and every fourth one anew.
func (h *matrixHost) write(ctx context.Context, n, size int) {
	for i := range n {
		h.written++
		r := row{fmt.Appendf(nil, "w%05d", h.written), []byte(fmt.Sprint(h.written, strings.Repeat("w", size)))}
		if i%4 == 3 {
			r.key = imageRow(i).key
		}
		h.put(ctx, r)
	}
}

// put puts one row and notes the answer.
func (h *matrixHost) put(ctx context.Context, r row) (acked bool, answer any) {
	answer = h.wait(ctx, h.ask(h.faulty, r.put()))
	return h.rows.note(r, answer), answer
}

// rests waits, without a fault, until a phase has done what it does in the background.
func (h *matrixHost) rests(ctx context.Context, phase string) bool {
	return h.fs.await(ctx, func(calls map[diskCall]int, _ int) bool {
		n := func(file, op string) int { return calls[diskCall{file: file, op: op, phase: phase}] }
		switch phase {
		case openPhase, settling:
			return n(manifestFile, removeOp) > 0 && n(optionsFile, removeOp) > 0
		case flushPhase:
			return n(manifestFile, syncOp) > 0
		case compactionPhase:
			return n(manifestFile, syncOp) > 1 && n(sstableFile, removeOp) > 0
		}
		return true
	})
}

// readFaulty reads the whole faulty table.
func (h *matrixHost) readFaulty(ctx context.Context) (map[string]string, error) {
	found := make(map[string]string)
	err := h.g.Table(h.faulty).Walk(ctx, &messages.Scan{}, func(key, value []byte) error {
		found[string(key)] = string(value)
		return nil
	})
	return found, err
}
