package backup_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
)

// TestInterruptionsInARow: whichever writes of tokens fail in two runs, one after the other, DIR keeps its backups.
func TestInterruptionsInARow(t *testing.T) {
	type write struct {
		path string
		at   int // which write of the file in that run
	}
	writes := []write{{one + "/backup_dirs.json", 1}, {theirs + "/last_run.json", 1}, {one + "/backup_dirs.json", 2}}
	for i, first := range writes {
		for j, second := range writes {
			for _, before := range []int{0, 1} { // runs that went well
				t.Run(fmt.Sprintf("write %d, then write %d, after %d runs", i+1, j+1, before), func(t *testing.T) {
					fs := newPair(t)
					for range before {
						must(t, run(t, fs, one, theirs, false))
					}
					disk := newHookFS(fs)
					for _, w := range []write{first, second} {
						o := opened(t, disk, one, theirs)
						n := 0
						disk.hook(func(op, path string) error {
							if op == "create" && strings.HasPrefix(path, w.path) {
								if n++; n == w.at {
									return errInjected
								}
							}
							return nil
						}, nil)
						if unmarked, err := o.BeginRun(ulid.Make().String(), false); unmarked == nil || err != nil {
							t.Errorf("interrupted: unmarked %v, error %v", unmarked, err)
						}
						disk.hook(nil, nil)
						o.close(t)
					}
					for range 2 {
						if err := run(t, fs, one, theirs, false); err != nil {
							t.Errorf("refused: %v", err)
						}
					}
				})
			}
		}
	}
}

// TestClonedBackupDirectory: a backup directory and its clone that are used in turn are adopted once, and known from then on.
func TestClonedBackupDirectory(t *testing.T) {
	fs := newPair(t)
	must(t, run(t, fs, one, theirs, false))
	copyDir(t, fs, theirs, another)
	must(t, run(t, fs, one, theirs, false))
	if err := run(t, fs, one, another, false); err == nil || !strings.Contains(err.Error(), "an older state of them") {
		t.Errorf("an older state: %v", err)
	}
	must(t, run(t, fs, one, another, true))
	for range 2 {
		for _, dir := range []string{theirs, another} {
			if err := run(t, fs, one, dir, false); err != nil {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
}
