package test

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The calls of a cell that its fault befalls.
const (
	firstCall  = "first"
	nthCall    = "nth" // in the middle of those that the phase makes
	everyCalls = "every"
)

// cell is one fault.
type cell struct {
	fault string
	call  diskCall
	which string
	nth   int
}

// name is the cell's as a subtest.
func (c cell) name() string {
	return strings.ReplaceAll(fmt.Sprintf("%s_of_%s_%s_in_%s_%s", c.fault, c.call.file, c.call.op, c.call.phase, c.which), " ", "-")
}

// injection is the cell's fault; a seed says which bit is turned.
func (c cell) injection(seed uint64) *injection {
	h := fnv.New64a()
	fmt.Fprint(h, seed, c.name())
	return &injection{call: c.call, kind: c.fault, nth: c.nth, every: c.which == everyCalls, where: float64(h.Sum64()%1000) / 1000}
}

// matrixImages are what cells begin from.
type matrixImages struct{ stopped, killed *matrixImage }

func (m matrixImages) of(phase string) *matrixImage {
	if phase == openPhase {
		return m.killed
	}
	return m.stopped
}

// recordings is how often each phase is run without a fault, to learn which calls it makes.
const recordings = 3

// record runs each phase without a fault. least and most are how often each call was made in one of the runs.
func record(t *testing.T, images matrixImages) (least, most map[diskCall]int) {
	t.Helper()
	least, most = make(map[diskCall]int), make(map[diskCall]int)
	for i := range recordings {
		for _, phase := range phases {
			if phase == cutPhase || phase == publishPhase {
				continue // they are parts of the run that prune ends
			}
			calls := recordPhase(t, images, phase)
			for call := range least {
				if call.phase == phase || phase == prunePhase && (call.phase == cutPhase || call.phase == publishPhase) {
					least[call] = min(least[call], calls[call])
				}
			}
			for call, n := range calls {
				if i == 0 {
					least[call] = n
				}
				most[call] = max(most[call], n)
			}
		}
	}
	return least, most
}

func recordPhase(t *testing.T, images matrixImages, phase string) map[diskCall]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), matrixPatience)
	defer cancel()
	h := newMatrixHost(t, images.of(phase), faultyTable(phase), false)
	defer h.system.Shutdown()
	h.prepare(ctx, phase)
	h.enterPhase(phase, nil)
	if err := h.work(ctx, phase); err != nil {
		t.Fatalf("%s without a fault: %v", phase, err)
	}
	if !h.rests(ctx, phase) {
		t.Fatalf("%s without a fault has not come to its end: %v", phase, h.fs.calls())
	}
	calls := h.fs.calls()
	maps.DeleteFunc(calls, func(call diskCall, _ int) bool { return call.phase == settling })
	h.fs.heal()
	h.tryOthers(ctx)
	h.checkAnswers(ctx)
	h.stop()
	return calls
}

// cells makes the cells of all calls that each recording had, in order.
func cells(least map[diskCall]int) (all []cell) {
	for call, n := range least {
		for _, fault := range faultKinds {
			if n == 0 || byChance(call) || !befalls(fault, call.op) {
				continue
			}
			all = append(all, cell{fault, call, firstCall, 1}, cell{fault, call, everyCalls, 1})
			if nth := middle(call, n); nth > 1 {
				all = append(all, cell{fault, call, nthCall, nth})
			}
		}
	}
	slices.SortFunc(all, func(a, b cell) int {
		return cmp.Or(
			cmp.Compare(slices.Index(faultKinds, a.fault), slices.Index(faultKinds, b.fault)),
			cmp.Compare(slices.Index(fileKinds, a.call.file), slices.Index(fileKinds, b.call.file)),
			cmp.Compare(slices.Index(phases, a.call.phase), slices.Index(phases, b.call.phase)),
			cmp.Compare(slices.Index(callKinds, a.call.op), slices.Index(callKinds, b.call.op)),
			cmp.Compare(a.which, b.which))
	})
	return all
}

// byChance tells whether a phase ends without the call in some runs, though each recording may have it. A close flushes,
// and the compaction that this asks for either begins before the store takes no more work, and replaces sstables, or
// never: the other phases are waited for until a call comes.
func byChance(call diskCall) bool {
	return call == diskCall{file: sstableFile, op: removeOp, phase: closePhase}
}

// middle is which of n calls is in the middle; 0 where there is none, or another run of the phase may make fewer.
func middle(call diskCall, n int) int {
	background := ofTable(call.file) && call.phase != openPhase && call.phase != createPhase && call.phase != commitPhase
	switch {
	case n < 2, n < 4 && background:
		return 0
	case call.file == stagingFile && call.op == linkOp:
		return 0 // how many sstables a cut links is for compaction to say
	case call.file == sstableFile && call.op == readOp:
		return 2 // how many depends on what is cached
	case background:
		return n / 2
	}
	return (n + 1) / 2
}
