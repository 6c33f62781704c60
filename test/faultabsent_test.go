package test

import (
	"fmt"
	"slices"
	"testing"
)

// absence says why a kind of fault cannot befall a kind of file in a phase. Nothing in a field is everything.
type absence struct {
	faults, files, phases []string
	why                   string
}

// but is everything except what is named.
func but(all []string, except ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(except, s) })
}

var (
	writeFaults = []string{tornFault, flipFault}
	spaceFaults = []string{spaceFault, tornFault, flipFault} // of calls that need room
)

// absences are the cells that cannot fire. Whatever is neither here nor in the recordings fails the matrix, and so does
// what is in both.
var absences = []absence{
	{nil, []string{walFile, manifestFile, sstableFile, optionsFile, markerFile, highWaterFile, lineageDir, lockFile},
		[]string{publishPhase, prunePhase}, "what a table does beside the rest of a run counts for the cut"},
	{nil, []string{manifestFile, lineageDir}, []string{commitPhase}, "a commit without a flush makes no file"},
	{nil, []string{optionsFile}, []string{commitPhase, flushPhase, compactionPhase, closePhase}, "an open writes it, and a cut copies it"},
	{nil, []string{markerFile, lockFile}, but(phases, openPhase, createPhase), "an open alone touches it"},
	{nil, []string{currentFile}, but(phases, openPhase, createPhase), "an open reads it, a creation writes it; lists of tables do not count"},
	{nil, []string{holdFile}, []string{commitPhase, flushPhase, compactionPhase, closePhase}, "it is taken when the host starts; looks by timers do not count"},
	{nil, []string{stagingFile}, but(phases, cutPhase, publishPhase), "a cut fills it, and the copy reads and removes it"},
	{nil, []string{backupFile, manifestJSON}, []string{commitPhase, flushPhase, compactionPhase, closePhase}, "no backup is looked at"},
	{nil, []string{manifestJSON}, []string{createPhase}, "a new table has no backup whose manifest could be read"},
	{nil, []string{setFile}, but(phases, openPhase, publishPhase, prunePhase), "a start lists the sets, a run writes one, and retention removes some"},
	{nil, []string{dirsFile, lastRunFile}, but(phases, openPhase, cutPhase), "a start reads it, and a run replaces it before its cuts"},

	{spaceFaults, []string{sstableFile}, []string{commitPhase}, "a commit without a flush reads sstables alone"},
	{spaceFaults, []string{optionsFile}, []string{cutPhase}, "a cut reads it; its copy is staging"},
	{spaceFaults, []string{holdFile}, []string{cutPhase, publishPhase, prunePhase, createPhase}, "it is looked at before a change"},
	{[]string{spaceFault}, []string{backupFile}, []string{cutPhase}, "the table's directory is there"},
	{spaceFaults, []string{lockFile}, []string{openPhase, createPhase}, "it is empty and stays so"},
	{spaceFaults, []string{stagingFile}, []string{publishPhase}, "the copy reads it and removes it"},
	{spaceFaults, []string{backupFile, setFile, dirsFile, lastRunFile}, []string{openPhase}, "an open reads them"},
	{spaceFaults, []string{backupFile}, []string{createPhase}, "a creation looks whether there are any"},
	{spaceFaults, []string{manifestJSON}, []string{openPhase, cutPhase, prunePhase}, "those of older backups are read, or removed"},

	{writeFaults, []string{walFile, highWaterFile}, []string{openPhase}, "an open reads it, and makes a new one without content"},
	{writeFaults, []string{currentFile}, []string{openPhase}, "an open reads it"},
	{writeFaults, []string{markerFile}, []string{openPhase, createPhase}, "it is empty: its name is what it says"},
	{writeFaults, []string{lineageDir}, nil, "a directory is not written, it is synced"},
	{writeFaults, []string{backupFile}, []string{cutPhase}, "the table's directory is made before the copy"},
	{writeFaults, []string{backupFile, setFile}, []string{prunePhase}, "what goes is renamed and removed"},
}

// absent returns why a kind of fault cannot befall a kind of file in a phase, "" when it can.
func absent(fault, file, phase string) string {
	in := func(some []string, one string) bool { return some == nil || slices.Contains(some, one) }
	for _, a := range absences {
		if in(a.faults, fault) && in(a.files, file) && in(a.phases, phase) {
			return a.why
		}
	}
	return ""
}

// checkAbsences holds what was recorded against the absences, and returns how many cells these list.
func checkAbsences(t *testing.T, recorded map[diskCall]int) (listed int) {
	t.Helper()
	for call := range recorded {
		if !slices.Contains(fileKinds, call.file) {
			t.Errorf("%s of a file that the matrix does not know, in %s: %s", call.op, call.phase, call.file)
		}
	}
	for _, fault := range faultKinds {
		for _, file := range fileKinds {
			for _, phase := range phases {
				why := absent(fault, file, phase)
				fires := slices.ContainsFunc(callKinds, func(op string) bool {
					return befalls(fault, op) && recorded[diskCall{file, op, phase}] > 0
				})
				switch cell := fmt.Sprintf("%s of %s in %s", fault, file, phase); {
				case why != "" && fires:
					t.Errorf("%s was recorded, but is listed as impossible: %s", cell, why)
				case why == "" && !fires:
					t.Errorf("%s was not recorded, and is not listed as impossible", cell)
				case why != "":
					listed++
				}
			}
		}
	}
	return listed
}
